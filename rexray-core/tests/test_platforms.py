"""A storage platform of another distribution: its aliases, its options, its policy, its volumes on this host."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import acme_plugin as acme
import pytest
import yaml

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge.controller import Controller
from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest, Unavailable
from rexray.locks import Locks
from rexray.names import file_key
from rexray.paths import Paths, find_paths
from rexray.testing.memory.platform import MemoryPlatform
from rexray.types import BlockDevice, Directory, InstanceId, Volume, VolumeId, VolumeSpec
from rexray.volumes.claims import Claims
from rexray.volumes.driver import DefaultVolumes
from rexray.volumes.options import Reader
from rexray.volumes.platform import Platform
from rexray.volumes.publishing import BlockPublisher
from rexray.volumes.settings import VolumeSettings

Run = Callable[..., subprocess.CompletedProcess[str]]


HERE, THERE = InstanceId("host-1"), InstanceId("host-2")


class SeeingNode(acme.AcmeNode):
    """A node that sees the devices it is given, whatever is connected."""

    seen: tuple[BlockDevice, ...] = ()

    def devices(self) -> tuple[BlockDevice, ...]:
        return self.seen


@pytest.fixture
def settings(tmp_path: Path) -> acme.AcmeSettings:
    return acme.AcmeSettings(file=str(tmp_path / "acme.json"))


@pytest.fixture
def memory(settings: acme.AcmeSettings) -> MemoryPlatform:
    """The storage platform itself; it has no volumes."""
    return MemoryPlatform.of(settings)


@pytest.fixture
def node(settings: acme.AcmeSettings) -> SeeingNode:
    """The node of the platform, which sees no device."""
    return SeeingNode(settings)


@pytest.fixture
def platform(settings: acme.AcmeSettings, node: SeeingNode) -> Platform:
    return Platform(storage=acme.AcmeStorage(settings), node=node, make_os=lambda: acme.AcmeOS(settings))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"REXRAY_HOME": str(tmp_path / "home")})


@pytest.fixture
def run(tmp_path: Path, settings: acme.AcmeSettings) -> Run:
    """Runs ``rexray`` with the platform installed beside the real ones."""
    info = tmp_path / "rexray_driver_acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: rexray-driver-acme\nVersion: 1.0\nRequires-Dist: rexray-core\n")
    (info / "RECORD").write_text("")
    groups = {"storage": ("acme", "anvil"), "os": ("acme",)}
    for kind, names in groups.items():
        with (info / "entry_points.txt").open("a") as file:
            print(f"[rexray.{kind}]", *(f"{name} = acme_plugin" for name in names), sep="\n", file=file)

    def rexray(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI", "CSI_"))}
        return subprocess.run(
            [sys.executable, "-m", "rexray", *words],
            env={
                **clean,
                "PYTHONPATH": f"{tmp_path}:{Path(__file__).parent}",
                "REXRAY_HOME": str(tmp_path),
                "HOME": str(tmp_path),
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                "REXRAY_OSDRIVERS": "acme",
                "MEMORY_FILE": settings.file,
                **environ,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return rexray


def have(platform: Platform, name: str, *, at: str = HERE, device: str = "") -> Volume:
    """Let the platform have a volume that is attached to an instance."""
    made = platform.storage.create(VolumeSpec(name=name))
    if at:
        platform.storage.attach(made.id, InstanceId(at), device=device)
    return platform.storage.volume(made.id)


def seen(volume_id: str, device: str, *, region: str = "", status: str = "") -> BlockDevice:
    """A device of this host as its node driver sees it."""
    return BlockDevice(
        provider="acme",
        instance_id=HERE,
        volume_id=VolumeId(volume_id),
        device=device,
        region=region,
        status=status,
    )


# Aliases


def test_a_driver_with_aliases_is_listed_once_and_by_its_name(run: Run) -> None:
    rows = json.loads(run("driver", "ls", "--format", "json").stdout)
    found = [row for row in rows if row["distribution"] == "rexray-driver-acme" and row["kind"] == "storage"]
    assert [(row["name"], row["aliases"], row["status"]) for row in found] == [("acme", ["anvil"], "ready")]
    assert "ALIASES" in run("driver", "ls").stdout.splitlines()[0]


def test_an_alias_names_the_driver_and_everything_bears_the_drivers_own_name(
    run: Run, platform: Platform, tmp_path: Path
) -> None:
    have(platform, "a", device="/dev/a")
    answer = run("volume", "get", REXRAY_STORAGEDRIVERS="anvil")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert yaml.safe_load(answer.stdout)[0]["providername"] == "acme"
    made = run("volume", "create", "new", "-o", "fstype=xfs", REXRAY_STORAGEDRIVERS="anvil")
    assert (made.returncode, made.stderr) == (0, "")
    assert (tmp_path / "var/lib/docker/acme/new.json").exists()


def test_settings_of_a_driver_with_aliases_are_there_once(run: Run) -> None:
    assert run("env").stdout.count("ACME_KEY=") == 1
    assert run("-v", "--help").stdout.count("--acmeKey") == 1


def test_of_the_drivers_that_can_work_here_one_with_aliases_is_one(run: Run) -> None:
    answer = run("-s", "nobody", "volume", "ls", REXRAY_VOLUMEDRIVERS="docker")
    assert answer.returncode == 1
    named = answer.stderr.partition("the storage drivers are: ")[2].strip().split(", ")
    assert "acme" in named
    assert "anvil" not in named


# The volumes of this host


def test_the_node_says_the_device_and_the_platform_what_the_node_does_not(
    platform: Platform, memory: MemoryPlatform, node: SeeingNode, paths: Paths
) -> None:
    have(platform, "c", device="/dev/xvdc")
    first = have(platform, "a", device="/dev/xvdz")
    second = have(platform, "b", device="/dev/xvdb")
    nowhere = have(platform, "none")
    have(platform, "elsewhere", at=THERE, device="/dev/xvda")
    have(platform, "free", at="")
    with memory.array() as array:
        record = array.volume(nowhere.id)
        array.state.volumes[nowhere.id] = replace(record, links={HERE: replace(record.links[HERE], device="")})
    node.seen = (
        seen(first.id, "/dev/nvme1n1"),
        seen(second.id, "/dev/nvme2n1", region="mars", status="ok"),
        seen("x", "/dev/x"),
    )
    names = {found.id: found.name for found in platform.storage.volumes()}
    found = DefaultVolumes(VolumeSettings(), platform, paths).devices()
    assert [(names[item.volume_id], item.device, item.region, item.status, item.provider) for item in found] == [
        ("a", "/dev/nvme1n1", "region-1", "attached", "acme"),
        ("b", "/dev/nvme2n1", "mars", "ok", "acme"),
        ("c", "/dev/xvdc", "region-1", "attached", "acme"),
    ]


def test_attached_volumes_are_those_of_the_instance_whatever_the_platform_can_filter_by(platform: Platform) -> None:
    mine = have(platform, "a")
    have(platform, "b", at=THERE)
    have(platform, "c", at="")
    assert list(StorageDriver.attached(platform.storage, HERE)) == [mine] == list(platform.storage.attached(HERE))


def test_volume_get_of_one_volume_lists_no_others(run: Run, platform: Platform, memory: MemoryPlatform) -> None:
    wanted = have(platform, "a")
    have(platform, "b")
    for word in ("a", wanted.id):
        answer = run("volume", "get", word, REXRAY_STORAGEDRIVERS="acme")
        assert [row["volumeid"] for row in yaml.safe_load(answer.stdout)] == [wanted.id]
    assert "volumes" not in memory.calls


def test_volume_get_fails_when_the_platform_cannot_be_reached(run: Run, memory: MemoryPlatform) -> None:
    memory.go_down("acme cannot be reached")
    answer = run("volume", "get", REXRAY_STORAGEDRIVERS="acme")
    assert (answer.returncode, answer.stdout, answer.stderr) == (1, "", "error: acme cannot be reached\n")


def publisher(platform: Platform, folder: Path) -> BlockPublisher:
    return BlockPublisher(platform, VolumeSettings(), folder / "mounts", Locks(), Claims(folder / "claims"))


def mounted(platform: Platform, folder: Path, name: str, device: str) -> None:
    platform.os.mount(Directory(source=device, fs_type="ext4"), folder / "mounts" / name)


def test_mounts_of_this_hosts_volumes_can_be_adopted(platform: Platform, node: SeeingNode, tmp_path: Path) -> None:
    first, second = have(platform, "a", device="/dev/a"), have(platform, "b", device="/dev/xvdb")
    node.seen = (seen(second.id, "/dev/b"),)
    for name in ("a", "b", "c"):
        mounted(platform, tmp_path, name, f"/dev/{name}")
    found = publisher(platform, tmp_path).adoptable()
    assert [(record.name, record.volume_id) for record in found] == [("a", first.id), ("b", second.id)]


def test_mounts_can_be_adopted_while_the_platform_cannot_be_reached(
    platform: Platform, memory: MemoryPlatform, node: SeeingNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node.seen = (seen("vol-b", "/dev/b"),)
    mounted(platform, tmp_path, "b", "/dev/b")
    memory.go_down("acme cannot be reached")
    with caplog.at_level(logging.WARNING):
        assert [record.volume_id for record in publisher(platform, tmp_path).adoptable()] == ["vol-b"]
    assert "acme cannot be reached" in caplog.text
    with pytest.raises(Unavailable):
        DefaultVolumes(VolumeSettings(), platform, find_paths({"REXRAY_HOME": str(tmp_path)})).devices()


def test_a_host_without_mounts_asks_nobody_for_them(platform: Platform, memory: MemoryPlatform, tmp_path: Path) -> None:
    assert list(publisher(platform, tmp_path).adoptable()) == []
    assert memory.calls == []


# Create options


def test_a_drivers_own_create_options_reach_it_in_lower_case(platform: Platform) -> None:
    wishes = Reader(VolumeSettings(), platform.storage).read("data", {"MultiAttach": "true", "size": "2"})
    assert wishes.spec.options == {"multiattach": "true"}
    assert wishes.of_existing(Volume(id=VolumeId("v"), name="data")).options == {"multiattach": "true"}


def test_an_unknown_option_is_refused_with_the_drivers_own_among_those_that_there_are(platform: Platform) -> None:
    reader = Reader(VolumeSettings(), platform.storage)
    with pytest.raises(InvalidRequest, match="option 'multiatach' is unknown; did you mean 'multiattach'"):
        reader.read("data", {"multiatach": "true"})
    with pytest.raises(InvalidRequest, match=r"option 'zzz' is unknown; there are size, .*, multiattach$"):
        reader.read("data", {"zzz": "1"})


def test_the_shell_hands_a_drivers_own_option_on(run: Run, platform: Platform) -> None:
    answer = run("volume", "create", "data", "-o", "MultiAttach=true", REXRAY_STORAGEDRIVERS="acme")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert [found.fields for found in platform.storage.volumes()] == [{"multiattach": "true"}]


def test_a_drivers_own_options_are_parameters_of_csi(platform: Platform, paths: Paths) -> None:
    controller = Controller(platform.storage, VolumeSettings(), paths)
    modes = pb.VolumeCapability.AccessMode
    use = pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(), access_mode=modes(mode=modes.SINGLE_NODE_WRITER))
    context: object = None
    made = controller.CreateVolume(
        pb.CreateVolumeRequest(name="data", volume_capabilities=[use], parameters={"MultiAttach": "true"}),
        context,  # type: ignore[arg-type] # not looked at
    )
    assert platform.storage.volume(VolumeId(made.volume.volume_id)).fields == {"multiattach": "true"}
    with pytest.raises(InvalidRequest, match=r"parameter 'zzz' is unknown: there are .*, multiattach$"):
        controller.CreateVolume(
            pb.CreateVolumeRequest(name="data", volume_capabilities=[use], parameters={"zzz": "250"}),
            context,  # type: ignore[arg-type]
        )


# Policies


def test_a_policy_is_printed_as_people_paste_it_for_what_is_not_switched_off(run: Run, memory: MemoryPlatform) -> None:
    answer = run("policy", "acme")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == '{\n  "allow": [\n    "create",\n    "remove",\n    "attach"\n  ]\n}\n'
    less = run("policy", "anvil", "--format", "yaml", REXRAY_VOLUME_CREATE_DISABLE="true")
    assert yaml.safe_load(less.stdout) == {"allow": ["remove", "attach"]}
    assert memory.calls == []


PLAIN = """
from rexray import hookimpl
from rexray.drivers import StorageDriver
from rexray.testing.memory.attaching import AttachCalls
from rexray.testing.memory.listing import ListCalls
from rexray.testing.memory.making import MakingCalls
class AcmeStorage(ListCalls, MakingCalls, AttachCalls, StorageDriver):
    name = "acme"
    aliases = ("anvil",)
@hookimpl
def rexray_storage_drivers():
    return [AcmeStorage]
"""
"""The plug-in with a driver that can do what each driver can, and nothing more."""


def test_a_driver_without_a_policy_says_so_and_an_unknown_one_what_to_install(run: Run, tmp_path: Path) -> None:
    (tmp_path / "acme_plugin.py").write_text(PLAIN)
    answer = run("policy", "acme")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == (
        "error: storage driver 'acme' does not say what its credentials need: it has no HasPolicy\n"
    )
    unknown = run("policy", "acem")
    assert (unknown.returncode, unknown.stderr) == (
        1,
        "error: driver 'acem' is not installed: pip install rexray-driver-acem\n",
    )
    refused = run("policy", "acme", "--template", "{x}")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)


# Long names


@pytest.mark.parametrize("name", ["x" * 255, "数" * 255], ids=["ascii", "unicode"])
def test_a_name_of_255_characters_works_as_any_other(platform: Platform, paths: Paths, name: str) -> None:
    volumes = DefaultVolumes(VolumeSettings(), platform, paths)
    made = volumes.create(name, {"fstype": "xfs"})
    assert volumes.get(name) == made
    assert [found.name for found in volumes.list()] == [name]
    assert volumes.path(name) is None
    assert (paths.lib / f"docker/acme/{file_key(name)}.json").exists()
    assert volumes.create(name, {"fstype": "xfs"}) == made
    volumes.remove(name)
    assert list(platform.storage.volumes()) == []
    assert list((paths.lib / "docker/acme").iterdir()) == []


def test_a_name_of_256_characters_is_refused(platform: Platform, paths: Paths) -> None:
    with pytest.raises(InvalidRequest, match="is 256 characters long: at most 255 are allowed"):
        DefaultVolumes(VolumeSettings(), platform, paths).create("x" * 256, {})
