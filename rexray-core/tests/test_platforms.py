"""A storage platform of another distribution: its aliases, its options, its policy, its volumes on this host."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
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
from rexray.types import Attachment, BlockDevice, InstanceId, MountPoint, Volume, VolumeId
from rexray.volumes.claims import Claims
from rexray.volumes.driver import DefaultVolumes
from rexray.volumes.options import Reader
from rexray.volumes.platform import Platform
from rexray.volumes.publishing import BlockPublisher
from rexray.volumes.settings import VolumeSettings

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where everything of the platform is; it has no volumes, and this host sees no device."""
    monkeypatch.setenv("ACME", str(tmp_path / "acme"))
    monkeypatch.setattr(acme, "SEEN", [])
    monkeypatch.setattr(acme, "MOUNTED", [])
    return tmp_path


@pytest.fixture
def platform() -> Platform:
    settings = acme.AcmeSettings()
    return Platform(storage=acme.AcmeStorage(settings), node=acme.AcmeNode(settings), make_os=acme.AcmeOS)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"REXRAY_HOME": str(tmp_path / "home")})


@pytest.fixture
def run(tmp_path: Path) -> Run:
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
                **environ,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return rexray


def volume(name: str, *, at: str = acme.HERE, device: str = "", status: str = "") -> Volume:
    """A volume that is attached to an instance."""
    volume_id = VolumeId(f"vol-{name}")
    attachment = Attachment(volume_id=volume_id, instance_id=InstanceId(at), device=device, status=status)
    return Volume(id=volume_id, name=name, attachments=(attachment,) if at else ())


def seen(name: str, device: str, *, region: str = "", status: str = "") -> BlockDevice:
    """A device of this host as its node driver sees it."""
    return BlockDevice(
        provider="acme",
        instance_id=acme.HERE,
        volume_id=VolumeId(f"vol-{name}"),
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


def test_an_alias_names_the_driver_and_everything_bears_the_drivers_own_name(run: Run, folder: Path) -> None:
    acme.have(volume("a", device="/dev/a", status="attached"))
    answer = run("volume", "get", REXRAY_STORAGEDRIVERS="anvil")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert yaml.safe_load(answer.stdout)[0]["providername"] == "acme"
    made = run("volume", "create", "new", "-o", "fstype=xfs", REXRAY_STORAGEDRIVERS="anvil")
    assert (made.returncode, made.stderr) == (0, "")
    assert (folder / "var/lib/docker/acme/new.json").exists()


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


def test_the_node_says_the_device_and_the_platform_what_the_node_does_not(platform: Platform, paths: Paths) -> None:
    acme.have(
        volume("c", device="/dev/xvdc", status="attached"),
        volume("a", device="/dev/xvdz", status="attached"),
        volume("b", device="/dev/xvdb", status="busy"),
        volume("none"),
        volume("elsewhere", at="there", device="/dev/xvda"),
        volume("free", at=""),
    )
    acme.SEEN.extend(
        [seen("a", "/dev/nvme1n1"), seen("b", "/dev/nvme2n1", region="mars", status="ok"), seen("x", "/dev/x")]
    )
    found = DefaultVolumes(VolumeSettings(), platform, paths).devices()
    assert [(item.volume_id, item.device, item.region, item.status, item.provider) for item in found] == [
        ("vol-a", "/dev/nvme1n1", "moon", "attached", "acme"),
        ("vol-b", "/dev/nvme2n1", "mars", "ok", "acme"),
        ("vol-c", "/dev/xvdc", "moon", "attached", "acme"),
    ]


def test_attached_volumes_are_those_of_the_instance_whatever_the_platform_can_filter_by(platform: Platform) -> None:
    acme.have(volume("a"), volume("b", at="there"), volume("c", at=""))
    assert [found.id for found in StorageDriver.attached(platform.storage, acme.HERE)] == ["vol-a"]


def test_volume_get_of_one_volume_lists_no_others(run: Run) -> None:
    acme.have(volume("a", device="/dev/a"), volume("b", device="/dev/b"))
    for word in ("a", "vol-a"):
        answer = run("volume", "get", word, REXRAY_STORAGEDRIVERS="acme")
        assert [row["volumeid"] for row in yaml.safe_load(answer.stdout)] == ["vol-a"]
    assert "volumes" not in acme.calls()


def test_volume_get_fails_when_the_platform_cannot_be_reached(run: Run) -> None:
    answer = run("volume", "get", REXRAY_STORAGEDRIVERS="acme", ACME_DOWN="1")
    assert (answer.returncode, answer.stdout, answer.stderr) == (1, "", "error: acme cannot be reached\n")


def publisher(platform: Platform, folder: Path) -> BlockPublisher:
    return BlockPublisher(platform, VolumeSettings(), folder / "mounts", Locks(), Claims(folder / "claims"))


def mounted(folder: Path, name: str, device: str) -> None:
    target = folder / "mounts" / name
    target.mkdir(parents=True)
    acme.MOUNTED.append(MountPoint(path=target, source=device))


def test_mounts_of_this_hosts_volumes_can_be_adopted(platform: Platform, folder: Path) -> None:
    acme.have(volume("a", device="/dev/a"), volume("b", device="/dev/xvdb"))
    acme.SEEN.append(seen("b", "/dev/b"))
    for name in ("a", "b", "c"):
        mounted(folder, name, f"/dev/{name}")
    found = publisher(platform, folder).adoptable()
    assert [(record.name, record.volume_id) for record in found] == [("a", "vol-a"), ("b", "vol-b")]


def test_mounts_can_be_adopted_while_the_platform_cannot_be_reached(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    acme.SEEN.append(seen("b", "/dev/b"))
    mounted(folder, "b", "/dev/b")
    monkeypatch.setenv("ACME_DOWN", "1")
    with caplog.at_level(logging.WARNING):
        assert [record.volume_id for record in publisher(platform, folder).adoptable()] == ["vol-b"]
    assert "acme cannot be reached" in caplog.text
    with pytest.raises(Unavailable):
        DefaultVolumes(VolumeSettings(), platform, find_paths({"REXRAY_HOME": str(folder)})).devices()


def test_a_host_without_mounts_asks_nobody_for_them(platform: Platform, folder: Path) -> None:
    assert list(publisher(platform, folder).adoptable()) == []
    assert acme.calls() == []


# Create options


def test_a_drivers_own_create_options_reach_it_in_lower_case(platform: Platform) -> None:
    wishes = Reader(VolumeSettings(), platform.storage).read("data", {"Throughput": "250", "size": "2"})
    assert wishes.spec.options == {"throughput": "250"}
    assert wishes.of_existing(Volume(id=VolumeId("v"), name="data")).options == {"throughput": "250"}


def test_an_unknown_option_is_refused_with_the_drivers_own_among_those_that_there_are(platform: Platform) -> None:
    reader = Reader(VolumeSettings(), platform.storage)
    with pytest.raises(InvalidRequest, match="option 'throughptu' is unknown; did you mean 'throughput'"):
        reader.read("data", {"throughptu": "250"})
    with pytest.raises(InvalidRequest, match=r"option 'zzz' is unknown; there are size, .*throughput, multiattach$"):
        reader.read("data", {"zzz": "1"})


def test_the_shell_hands_a_drivers_own_option_on(run: Run) -> None:
    answer = run("volume", "create", "data", "-o", "Throughput=250", REXRAY_STORAGEDRIVERS="acme")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert acme.volumes()[VolumeId("vol-1")].fields == {"throughput": "250"}


def test_a_drivers_own_options_are_parameters_of_csi(platform: Platform, paths: Paths) -> None:
    controller = Controller(platform.storage, VolumeSettings(), paths)
    modes = pb.VolumeCapability.AccessMode
    use = pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(), access_mode=modes(mode=modes.SINGLE_NODE_WRITER))
    context: object = None
    made = controller.CreateVolume(
        pb.CreateVolumeRequest(name="data", volume_capabilities=[use], parameters={"Throughput": "250"}),
        context,  # type: ignore[arg-type] # not looked at
    )
    assert acme.volumes()[VolumeId(made.volume.volume_id)].fields == {"throughput": "250"}
    with pytest.raises(InvalidRequest, match=r"parameter 'zzz' is unknown: there are .*, throughput, multiattach$"):
        controller.CreateVolume(
            pb.CreateVolumeRequest(name="data", volume_capabilities=[use], parameters={"zzz": "250"}),
            context,  # type: ignore[arg-type]
        )


# Policies


def test_a_policy_is_printed_as_people_paste_it_for_what_is_not_switched_off(run: Run) -> None:
    answer = run("policy", "acme")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == ('{\n  "Version": "1",\n  "May": [\n    "CreateVolume",\n    "AttachVolume"\n  ]\n}\n')
    less = run("policy", "anvil", "--format", "yaml", REXRAY_VOLUME_CREATE_DISABLE="true")
    assert yaml.safe_load(less.stdout) == {"Version": "1", "May": ["AttachVolume"]}
    assert acme.calls() == []


def test_a_driver_without_a_policy_says_so_and_an_unknown_one_what_to_install(run: Run) -> None:
    plain = Path(acme.__file__).read_text().replace("class AcmeStorage(Acme, HasPolicy,", "class AcmeStorage(Acme,")
    folder = Path(os.environ["ACME"]).parent
    (folder / "acme_plugin.py").write_text(plain)
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
    assert acme.volumes() == {}
    assert list((paths.lib / "docker/acme").iterdir()) == []


def test_a_name_of_256_characters_is_refused(platform: Platform, paths: Paths) -> None:
    with pytest.raises(InvalidRequest, match="is 256 characters long: at most 255 are allowed"):
        DefaultVolumes(VolumeSettings(), platform, paths).create("x" * 256, {})
