"""REX-Ray as a service of a whole host: systemd starts it before Docker, and it outlives reboots, hangs and power cuts.

The machine is a Debian under qemu's plain emulation, on which wheels were installed; one for all tests of the module.
Each test finds REX-Ray installed and a container that writes to a volume, and leaves it so.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vm_parts import MEMBERS, Vm, build_wheels

pytestmark = [pytest.mark.long, pytest.mark.needs("root"), pytest.mark.needs("loop"), pytest.mark.needs("vm")]

REXRAY = "/opt/rexray/bin/rexray"
PLATFORMS = """
rexray:
  services:
    near: {driver: loop}
    far: {driver: FAR}
  modules:
    default-csi: {type: csi, rexray.service: near}
    far: {type: docker, rexray.service: far}
"""
"""Two platforms, one for each of two endpoints."""
HERE = "loop, loop: {root: /var/lib/far}"
AWAY = (
    "scaleio, scaleio: {endpoint: http://127.0.0.1:9, userName: u, password: p, version: 3.5, timeout: 10m, "
    "insecure: true, guid: F1E7B4A2-6AF7-4DB2-B6D5-5C5D7E0A2B11}"
)
"""A platform that takes connections and does not say a word."""
SILENT = """
cd /etc/systemd/system
printf '%s\\n' '[Socket]' ListenStream=127.0.0.1:9 '[Install]' WantedBy=sockets.target >silent.socket
printf '%s\\n' '[Service]' 'ExecStart=/bin/sleep infinity' >silent.service
systemctl enable silent.socket
"""
IMAGE = """
mkdir -p /tmp/image/bin && cp /bin/busybox /tmp/image/bin/ && cd /tmp/image/bin
for name in sh sleep sync cat; do ln -s busybox $name; done
tar -C /tmp/image -c . | docker import - bb:1
"""
WRITER = "while echo line >>/data/log && sync; do sleep 0.2; done"
"""Ends with the first error, and then Docker counts a restart."""
WHERE = "/var/lib/rexray/services/near/volumes/data"


@pytest.fixture(scope="module")
def vm(tool: Callable[[str], str]) -> Iterator[Vm]:
    folder = Path(tempfile.mkdtemp(prefix="rxvm"))  # a socket's path has to fit in 107 bytes
    try:
        wheels = folder / "wheels"
        wheels.mkdir()
        build_wheels(wheels)
        machine = Vm(folder, tool("qemu-system-x86_64"))
        try:
            machine.install(wheels, *MEMBERS)
            machine.boot()
            set_up(machine)
            yield machine
        finally:
            machine.lose_power()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def set_up(vm: Vm) -> None:
    """Install the service, and start a container on each of two platforms."""
    vm.run(f"ln -s {REXRAY} /usr/local/bin/rexray; rexray install")
    vm.run("mkdir /etc/systemd/system/rexray.service.d")
    # a minute's patience and five seconds' rest are for hosts, not for who waits for a test
    vm.run("printf '%s\\n' '[Service]' WatchdogSec=12 RestartSec=0 >/etc/systemd/system/rexray.service.d/quick.conf")
    configure(vm, HERE)
    vm.run("systemctl daemon-reload; systemctl enable --now rexray")
    vm.run(IMAGE)
    vm.run("docker volume create -d rexray -o size=1 data && docker volume create -d far -o size=1 distant")
    run = "docker run -d --restart=always --network=none --stop-signal=KILL"
    vm.run(f"{run} --name writer -v data:/data bb:1 /bin/sh -c '{WRITER}'")
    vm.run(f"{run} --name other -v distant:/data bb:1 /bin/sleep infinity")
    vm.run("docker exec writer /bin/sh -c 'echo kept >/data/kept && sync'")
    assert writes_on(vm)


def configure(vm: Vm, far: str) -> None:
    vm.run(
        f"cat >/etc/rexray/config.yml <<'EOF'\n{PLATFORMS.replace('FAR', far)}\nEOF\nchmod 600 /etc/rexray/config.yml"
    )


def lines(vm: Vm) -> int:
    """How much the container has written, as the host sees it; nothing if the volume is not mounted."""
    return int(vm.ask(f"mountpoint -q {WHERE} && wc -l <{WHERE}/log || echo 0"))


def writes_on(vm: Vm) -> bool:
    before = lines(vm)
    return vm.eventually(f"[ $(wc -l <{WHERE}/log) -gt {before} ]", 30)


def has_its_data(vm: Vm) -> bool:
    """Whether the container runs, writes, and finds what was written at first."""
    running = vm.eventually("[ $(docker inspect -f '{{.State.Running}}' writer) = true ]")
    return running and vm.ask("docker exec writer /bin/cat /data/kept") == "kept" and writes_on(vm)


def restarts(vm: Vm) -> int:
    """How many times the container has ended by itself since the machine was booted."""
    return int(vm.ask("docker inspect -f '{{.RestartCount}}' writer"))


def main_pid(vm: Vm) -> int:
    return int(vm.ask("systemctl show -p MainPID --value rexray"))


def was_up_before_docker(vm: Vm) -> bool:
    """Whether the service was ready when Docker was yet to be started."""
    ready = int(vm.ask("systemctl show -p ActiveEnterTimestampMonotonic --value rexray"))
    docker = int(vm.ask("systemctl show -p InactiveExitTimestampMonotonic --value docker"))
    return 0 < ready <= docker


def state(vm: Vm) -> str:
    """What to look at when something is wrong."""
    return vm.run("systemctl --failed; journalctl --no-pager -n 60 -u rexray -u docker; findmnt", check=False).output


def test_after_a_reboot_the_service_is_up_before_docker_and_the_container_has_its_data(vm: Vm) -> None:
    before = lines(vm)
    vm.reboot()
    assert was_up_before_docker(vm), state(vm)
    assert has_its_data(vm), state(vm)
    assert lines(vm) > before


def test_a_restart_and_a_reload_leave_the_container_writing(vm: Vm) -> None:
    pid, count = main_pid(vm), restarts(vm)
    vm.run("systemctl reload rexray")
    assert main_pid(vm) == pid, state(vm)
    assert writes_on(vm)
    vm.run("systemctl restart rexray")
    assert main_pid(vm) != pid
    assert vm.ask("docker volume ls -q -f driver=rexray") == "data", state(vm)
    assert has_its_data(vm), state(vm)
    assert restarts(vm) == count, "it met an error"


def test_a_service_that_hangs_is_started_anew_and_the_mount_stays(vm: Vm) -> None:
    pid, count = main_pid(vm), restarts(vm)
    vm.run(f"kill -STOP {pid}")
    assert vm.eventually(f"[ $(systemctl show -p MainPID --value rexray) -ne {pid} ] && systemctl is-active rexray")
    assert "atchdog" in vm.ask("journalctl --no-pager -u rexray -b -p warning"), state(vm)
    assert vm.ask("docker volume ls -q -f driver=rexray") == "data", state(vm)
    assert has_its_data(vm), state(vm)
    assert restarts(vm) == count, "it met an error"


def test_after_a_power_cut_the_volume_is_mounted_again_with_all_that_was_synced(vm: Vm) -> None:
    before = lines(vm)
    assert writes_on(vm)
    vm.lose_power()
    vm.boot()
    assert was_up_before_docker(vm), state(vm)
    assert has_its_data(vm), state(vm)
    assert lines(vm) > before


def test_a_platform_that_does_not_answer_holds_neither_docker_up_nor_other_volumes(vm: Vm) -> None:
    vm.run(SILENT)
    configure(vm, AWAY)
    try:
        vm.reboot()
        assert was_up_before_docker(vm), state(vm)
        stamps = "systemctl show -p InactiveExitTimestampMonotonic -p ActiveEnterTimestampMonotonic --value docker"
        begin, end = sorted(map(int, vm.ask(stamps).split()))
        told = vm.ask("journalctl --no-pager -b -u docker")
        assert "Unable to locate plugin" not in told, state(vm)
        assert (end - begin) / 1e6 < 90, "Docker waited for the platform"
        assert has_its_data(vm), state(vm)
        assert vm.ask("docker inspect -f '{{.State.Running}}' other") == "false"
    finally:
        configure(vm, HERE)
        vm.run("systemctl restart rexray")
    assert vm.eventually("docker start other"), state(vm)


def test_uninstall_leaves_the_volumes_and_the_sysv_script_starts_the_service_too(vm: Vm) -> None:
    vm.run("docker stop writer other && rexray uninstall")
    assert vm.run("systemctl cat rexray", check=False).status != 0
    assert vm.run("test -e /run/docker/plugins/rexray.sock", check=False).status != 0
    vm.run("rexray install --init update-rc.d --now && docker start writer other")
    assert has_its_data(vm), state(vm)
    before = lines(vm)
    vm.reboot()
    assert "/etc/init.d/rexray" in vm.ask("systemctl show -p SourcePath --value rexray")
    assert was_up_before_docker(vm), state(vm)
    assert has_its_data(vm), state(vm)
    assert lines(vm) > before
