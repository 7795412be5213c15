"""Two services of one driver: their volumes of one name share nothing, at the shell, for Docker and over CSI."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from loop_parts import clean
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge.plugin import Bridge
from rexray.csi.local import LocalCaller, handlers_of
from rexray.errors import InUse, InvalidRequest, NotReady
from rexray.paths import find_paths
from rexray.settings import Sources, read_files
from rexray.types import MountRequest
from rexray.volumes.platform import find_platform
from service_parts import BRIDGE, Daemon, eventually

pytestmark = pytest.mark.needs("root", "loop", "mkfs.ext4")

SERVICES = ("fast", "slow")
CONFIGURATION = """
rexray:
  services:
    fast: {{driver: loop, loop: {{root: {home}/fast}}}}
libstorage:
  server:
    services:
      slow:
        driver: loop
        loop: {{root: {home}/slow}}
        rexray.docker.fsType: ext3
loop: {{instanceID: here, root: {home}/nobodys}}
rexray.docker.size: 64MiB
"""


@pytest.fixture
def folder(home: Path) -> Iterator[Path]:
    """The home of both services, with nothing mounted at the end."""
    configure(home, CONFIGURATION.format(home=home))
    yield home
    clean(home)


def configure(home: Path, text: str) -> Path:
    file = home / "etc/config.yml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


class Shell:
    """``rexray`` at a shell, of a home."""

    def __init__(self, home: Path) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI", "CSI_"))}
        self.environ = {**kept, "REXRAY_HOME": str(home), "HOME": str(home)}

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rexray", *words],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def say(self, *words: str, **environ: str) -> str:
        """What a command prints that succeeds."""
        answer = self.run(*words, **environ)
        assert (answer.returncode, answer.stderr) == (0, ""), words
        return answer.stdout.rstrip("\n")

    def refused(self, *words: str, **environ: str) -> str:
        """The one line of a command that fails."""
        answer = self.run(*words, **environ)
        assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (1, "", 1), words
        return answer.stderr.removeprefix("error: ").rstrip("\n")


@pytest.fixture
def shell(folder: Path) -> Shell:
    return Shell(folder)


def sources(home: Path, service: str = "", **environ: str) -> Sources:
    chosen = {"REXRAY_HOME": str(home), "REXRAY_SERVICE": service, **environ}
    return Sources(files=read_files([home / "etc/config.yml"]), environ=chosen)


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def make_both(shell: Shell) -> dict[str, Path]:
    """A volume ``data`` of either service, mounted, with the service's name in a file; where each is."""
    found = {}
    for service in SERVICES:
        shell.say("volume", "create", "data", "-s", service)
        found[service] = Path(shell.say("volume", "mount", "data", "-s", service))
        (found[service] / "whose").write_text(service)
    return found


# The shell


def test_volumes_of_one_name_live_side_by_side_and_go_one_by_one(shell: Shell, folder: Path) -> None:
    where = make_both(shell)
    assert where == {name: folder / f"var/lib/services/{name}/volumes/data" for name in SERVICES}
    assert {name: (path / "whose").read_text() for name, path in where.items()} == {"fast": "fast", "slow": "slow"}
    for name in SERVICES:
        assert files_below(folder / f"var/lib/services/{name}/docker") == {"loop/data.json"}
        (device,) = yaml.safe_load(shell.say("volume", "get", REXRAY_SERVICE=name))
        assert (device["providername"], device["volumeid"]) == ("loop", "data")
    assert shell.refused("volume", "rm", "data", "-s", "fast").startswith("volume 'data' is mounted by")
    shell.say("volume", "unmount", "data", "-s", "fast")
    shell.say("volume", "rm", "data", "-s", "fast")
    assert (where["slow"] / "whose").read_text() == "slow"
    assert not os.path.lexists(where["fast"])
    assert shell.say("volume", "ls", "-q", "-s", "fast") == ""
    assert shell.say("volume", "path", "data", "-s", "slow") == str(where["slow"])
    assert shell.say("volume", "unmount", "--all", "-s", "fast") == ""
    assert os.path.ismount(where["slow"])
    assert shell.say("volume", "unmount", "--all", "-s", "slow") == "data"
    shell.say("volume", "rm", "data", "-s", "slow")
    assert not (folder / "nobodys").exists()


def test_a_configured_mount_path_has_a_directory_for_each_service(shell: Shell, folder: Path) -> None:
    shell.environ["REXRAY_VOLUME_MOUNT_PATH"] = str(folder / "mnt")
    where = make_both(shell)
    assert where == {name: folder / "mnt" / name / "data" for name in SERVICES}
    assert {name: (path / "whose").read_text() for name, path in where.items()} == {"fast": "fast", "slow": "slow"}


def test_what_is_nested_under_a_service_holds_for_its_volumes(shell: Shell) -> None:
    where = make_both(shell)
    with open("/proc/self/mountinfo") as table:
        kinds = {line.split()[4]: line.split(" - ")[1].split()[0] for line in table}
    assert {name: kinds[str(path)] for name, path in where.items()} == {"fast": "ext4", "slow": "ext3"}


def test_a_service_has_to_be_chosen_and_is_named_where_a_wrong_one_is(shell: Shell, folder: Path) -> None:
    several = "several services are configured (fast, slow): choose one by -s or $REXRAY_SERVICE"
    unknown = "service 'loop' is not configured; the services are: fast, slow"
    for verb in (("ls",), ("create", "x"), ("mount", "x"), ("get",)):
        assert shell.refused("volume", *verb) == several
        assert shell.refused("volume", *verb, "-s", "loop") == unknown
    assert shell.refused("start", "-f", CSI_ENDPOINT=str(folder / "one.sock")) == several
    assert shell.say("driver", "ls", "-f", "json", "-s", "fast") == shell.say("driver", "ls", "-f", "json")
    configure(folder, CONFIGURATION.format(home=folder) + "\nrexray.service: Fast")
    shell.say("volume", "create", "data")
    assert shell.say("volume", "ls", "-q", "-s", "fast").split()[0] == "data"
    assert shell.say("volume", "ls", "-q", "--service=slow", REXRAY_SERVICE="fast") == ""


def test_a_service_that_bears_a_drivers_name_has_that_driver_and_alone_it_is_used(shell: Shell, folder: Path) -> None:
    configure(folder, f"rexray.services.loop.loop.root: {folder}/alone")
    shell.say("volume", "create", "data", "--size", "64MiB")
    assert (folder / "alone/volumes/data").is_dir()
    configure(folder, "rexray: {services: {loop: }}")
    assert shell.say("volume", "ls", "-q") == ""


def test_the_environment_is_for_services_that_do_not_say_it_themselves(shell: Shell, folder: Path) -> None:
    for service in SERVICES:
        found = shell.say("env", "--origin", "-s", service, LOOP_ROOT="/elsewhere", LOOP_ZONE="z").splitlines()
        assert f"LOOP_ROOT={folder}/{service}  # {folder}/etc/config.yml" in found
        assert "LOOP_ZONE=z  # $LOOP_ZONE" in found
        assert f"LOOP_ROOT={folder}/flag  # --loopRoot" in shell.say(
            "env", "--origin", "-s", service, "--loopRoot", f"{folder}/flag"
        )
    assert f"LOOP_ROOT={folder}/nobodys" in shell.say("env").splitlines()
    assert shell.refused("env", "-s", "loop").startswith("service 'loop' is not configured")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("loop.roof: /x", "unknown setting '{key}.loop.roof'; did you mean '{key}.loop.root'?"),
        ("acme.endpoint: x", "unknown setting '{key}.acme.endpoint'; no driver of this service has it: remove it"),
        ("csi.endpoint: x", "unknown setting '{key}.csi.endpoint'; "),
        ("rexray.logLevel: debug", "unknown setting '{key}.rexray.loglevel'; "),
        ("dirver: loop", "unknown setting '{key}.dirver'; did you mean '{key}.driver'?"),
        ("loop: x", "unknown setting '{key}.loop'; "),
    ],
)
@pytest.mark.parametrize("root", ["rexray.services", "libstorage.server.services"])
def test_a_key_that_no_driver_of_a_service_has_is_refused_by_every_service(
    shell: Shell, folder: Path, written: str, message: str, root: str
) -> None:
    before = f"{root}: {{good: {{driver: loop}}, bad: {{driver: loop, "
    file = configure(folder, f"{before}{written}}}}}")
    wanted = f"{file}:1:{len(before) + 1}: {message.format(key=f'{root}.bad')}"
    assert shell.refused("volume", "ls", "-s", "good").startswith(wanted)
    assert shell.refused("start", "-s", "good").startswith(wanted)


def test_wrong_values_and_missing_drivers_are_told_with_their_place(shell: Shell, folder: Path) -> None:
    file = configure(
        folder,
        "rexray.services:\n many: {driver: loop, loop.maxVolumes: many}\n gone: {driver: acme}\n acme:\n"
        " mine: {driver: loop}\n",
    )
    key = "rexray.services"
    refused = {name: shell.refused("volume", "ls", "-s", name) for name in ("many", "gone", "acme")}
    assert refused["many"] == f"{file}:2:23: {key}.many.loop.maxVolumes: 'many' is not a whole number"
    assert (
        refused["gone"]
        == f"{file}:3:9: {key}.gone.driver: driver 'acme' is not installed: pip install rexray-driver-acme"
    )
    assert refused["acme"].startswith(
        f"{file}:4:2: {key}.acme: driver 'acme' is not installed: pip install rexray-driver-acme; or"
    )
    assert shell.say("volume", "ls", "-q", "-s", "mine") == ""


def test_storage_drivers_that_leave_out_the_services_driver_are_refused(folder: Path) -> None:
    assert find_platform(sources(folder, "fast", REXRAY_STORAGEDRIVERS="ec2,loop")).service == "fast"
    with pytest.raises(InvalidRequest, match=r"fast\.driver: the driver is 'loop', and the setting rexray\.storageDr"):
        find_platform(sources(folder, "fast", REXRAY_STORAGEDRIVERS="ec2"))


def test_without_services_everything_is_where_it_was(home: Path) -> None:
    shell = Shell(home)
    shell.environ |= {"REXRAY_STORAGEDRIVERS": "loop", "LOOP_INSTANCEID": "here"}
    try:
        shell.say("volume", "create", "data", "--size", "64MiB", "-s", "loop")
        assert shell.say("volume", "mount", "data") == str(home / "var/lib/volumes/data")
        kept = files_below(home / "var/lib") - {name for name in files_below(home / "var/lib") if "loop/" in name[:5]}
        assert {name for name in kept if not name.startswith("volumes/")} == {"docker/loop/data.json"}
        assert not (home / "var/lib/services").exists()
        bridge = Caller(home, "", "loop")
        assert bridge.name() == "loop.rexray.io"
        bridge.attach("data")
        assert (home / "var/lib/csi/loop-claims").is_dir()
    finally:
        clean(home)


# Docker


def test_docker_has_both_services_one_daemon_after_the_other(make_daemon: Callable[..., Daemon], folder: Path) -> None:
    daemons = {name: make_daemon(**BRIDGE, REXRAY_SERVICE=name, HOME=str(folder)) for name in SERVICES}
    where = {}
    for name, daemon in daemons.items():
        daemon.start()
        daemon.docker("VolumeDriver.Create", Name="data", Opts={})
        where[name] = Path(str(daemon.docker("VolumeDriver.Mount", Name="data", ID=f"container-{name}")["Mountpoint"]))
        (where[name] / "whose").write_text(name)
        daemon.kill()
    assert len(set(where.values())) == 2
    for name, daemon in daemons.items():
        daemon.start()
        assert eventually(lambda: "data: mounted for 1 holder" in daemon.log.read_text())  # noqa: B023
        assert (where[name] / "whose").read_text() == name
        daemon.kill()
        subprocess.run(["umount", where[name]], check=True)  # as a reboot would
        daemon.log.write_text("")
        daemon.start()
        assert eventually(lambda: "data: mounted again for 1 holder" in daemon.log.read_text())  # noqa: B023
        assert (where[name] / "whose").read_text() == name
        daemon.docker("VolumeDriver.Unmount", Name="data", ID="container-of-nobody")
        assert os.path.ismount(where[name])
        daemon.stop()
    fast, slow = daemons.values()
    fast.start()
    fast.docker("VolumeDriver.Unmount", Name="data", ID="container-fast")
    fast.docker("VolumeDriver.Remove", Name="data")
    assert fast.docker("VolumeDriver.List")["Volumes"] == []
    fast.stop()
    assert (where["slow"] / "whose").read_text() == "slow"
    slow.start()
    assert slow.docker("VolumeDriver.Path", Name="data")["Mountpoint"] == str(where["slow"])
    slow.docker("VolumeDriver.Unmount", Name="data", ID="container-slow")
    slow.docker("VolumeDriver.Remove", Name="data")
    slow.stop()
    assert (slow.mounts(), slow.loops()) == ([], [])


# CSI


class Caller:
    """The bridge to one service, in this process."""

    def __init__(self, home: Path, service: str, drivers: str = "") -> None:
        environ = {"LOOP_ROOT": str(home / "var/lib/loop"), "LOOP_INSTANCEID": "here"} if drivers else {}
        self.home = home
        found = sources(home, service, REXRAY_STORAGEDRIVERS=drivers, **environ)
        self.bridge = Bridge(found, find_paths({"REXRAY_HOME": str(home)}))
        self._caller = LocalCaller(handlers_of(self.bridge))
        access = pb.VolumeCapability.AccessMode(mode=pb.VolumeCapability.AccessMode.SINGLE_NODE_WRITER)
        self._mount = pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(), access_mode=access)

    def call(self, call: rpc.Call[rpc.Req, rpc.Rep], request: rpc.Req) -> rpc.Rep:
        return self._caller.call(call, request, timeout=60)

    def name(self) -> str:
        return self.call(rpc.GET_PLUGIN_INFO, pb.GetPluginInfoRequest()).name

    def create(self, name: str) -> None:
        self.call(rpc.CREATE_VOLUME, pb.CreateVolumeRequest(name=name, volume_capabilities=[self._mount]))

    def attach(self, name: str) -> dict[str, str]:
        node = self.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()).node_id
        request = pb.ControllerPublishVolumeRequest(volume_id=name, node_id=node, volume_capability=self._mount)
        return dict(self.call(rpc.CONTROLLER_PUBLISH_VOLUME, request).publish_context)

    def stage(self, name: str, context: dict[str, str], at: str) -> Path:
        request = pb.NodeStageVolumeRequest(
            volume_id=name,
            publish_context=context,
            staging_target_path=str(self.home / at),
            volume_capability=self._mount,
        )
        self.call(rpc.NODE_STAGE_VOLUME, request)
        return self.home / at

    def publish(self, name: str, at: str, target: str) -> Path:
        request = pb.NodePublishVolumeRequest(
            volume_id=name,
            staging_target_path=str(self.home / at),
            target_path=str(self.home / target),
            volume_capability=self._mount,
        )
        self.call(rpc.NODE_PUBLISH_VOLUME, request)
        return self.home / target

    def unpublish(self, name: str, target: str) -> None:
        request = pb.NodeUnpublishVolumeRequest(volume_id=name, target_path=str(self.home / target))
        self.call(rpc.NODE_UNPUBLISH_VOLUME, request)

    def unstage(self, name: str, at: str) -> None:
        request = pb.NodeUnstageVolumeRequest(volume_id=name, staging_target_path=str(self.home / at))
        self.call(rpc.NODE_UNSTAGE_VOLUME, request)


def test_services_are_csi_plugins_of_names_of_their_own(folder: Path) -> None:
    configure(folder, "rexray.services: {fast_one: {driver: loop}, slow: {driver: loop}}")
    assert Caller(folder, "fast_one").name() == "fast.one.loop.rexray.io"
    assert Caller(folder, "slow").name() == "slow.loop.rexray.io"


def test_the_bridges_of_two_services_take_nothing_of_each_other_for_their_own(folder: Path) -> None:
    fast, slow = (Caller(folder, name) for name in SERVICES)
    contexts = {}
    for caller in (fast, slow):
        caller.create("data")
        contexts[caller] = caller.attach("data")
    (fast.stage("data", contexts[fast], "a") / "whose").write_text("fast")
    for staging in ("a", "pods"):  # what the other one staged, or shows, is no place for a volume of the same id
        fast.publish("data", "a", "pods")
        with pytest.raises(InUse):
            slow.stage("data", contexts[slow], staging)
    (slow.stage("data", contexts[slow], "b") / "whose").write_text("slow")
    with pytest.raises(InUse):
        slow.publish("data", "b", "pods")
    with pytest.raises(NotReady, match="is staged at"):
        slow.publish("data", "a", "other")
    slow.unpublish("data", "pods")
    slow.unstage("data", "b")
    assert (folder / "pods/whose").read_text() == (folder / "a/whose").read_text() == "fast"
    for name in SERVICES:
        assert [path.name for path in (folder / f"var/lib/services/{name}/csi").iterdir() if "claims" in path.name]
    fast.unpublish("data", "pods")
    fast.unstage("data", "a")


def test_a_claim_of_one_services_orchestrator_is_none_on_the_others_volume(folder: Path) -> None:
    """Docker's side leaves attached what its own service's orchestrator asked for, and nothing else."""
    Caller(folder, "fast").create("data")
    Caller(folder, "fast").attach("data")
    slow = Caller(folder, "slow").bridge.volume_driver()
    slow.create("data", {})
    slow.attach("data", slow.instance_id())
    assert [item.instance_id for item in slow.get("data").attachments] == ["here"]
    slow.detach("data", slow.instance_id())
    assert slow.get("data").attachments == ()
    fast = Caller(folder, "fast").bridge.volume_driver()
    assert [item.instance_id for item in fast.get("data").attachments] == ["here"]


def test_two_services_of_one_platform_do_not_take_a_volume_from_each_other(folder: Path) -> None:
    both = f"loop: {{root: {folder}/both}}"
    configure(folder, f"rexray.services: {{fast: {{driver: loop, {both}}}, slow: {{driver: loop, {both}}}}}")
    fast, slow = (Caller(folder, name).bridge.volume_driver() for name in SERVICES)
    fast.create("data", {"size": "64MiB"})
    here, there = (driver.mount(MountRequest(name="data", holder="c")).path for driver in (fast, slow))
    (here / "file").write_text("one")
    assert (there / "file").read_text() == "one"
    for driver, other in ((fast, there), (slow, here)):
        with pytest.raises(InUse):
            driver.detach("data", driver.instance_id())
        assert (other / "file").read_text() == "one"
    fast.unmount("data", "c")
    assert (there / "file").read_text() == "one"
    with pytest.raises(InUse):
        fast.remove("data")
    slow.unmount("data", "c")
    assert list(fast.recover()) == ["data: interrupted operation or reboot, unmounted"]
    fast.remove("data")
    assert list(slow.list()) == []
