"""``make soak``: a daemon under load from both protocols is killed again and again; nothing may be lost or left.

``$SOAK_SECONDS`` says how long (600), ``$SOAK_SEED`` what is done and when it is killed (a new one, which is printed):
the same seed makes the same plan, and threads and the kernel have their own time. Needs root. Exits with 1 on a
violation, and keeps what it is about.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from checks import Checks
from clients import SHARED, SIZE, Client, CSIClientOfSoak, DockerClient, KeepingClient, SharingClient
from talking import Talk
from world import Belief, Over, World

from rexray.mounts import mount_table
from service_parts import BRIDGE, Daemon

KINDS: list[tuple[type[Client], str, int]] = [
    (DockerClient, "docker", 3),
    (SharingClient, "sharing", 3),
    (KeepingClient, "keeping", 1),
    (CSIClientOfSoak, "csi", 3),
]
INSIDE = "--inside"
UNSHARE = ("unshare", "--mount", "--propagation", "private")
"""A run has a mount namespace of its own: a container that somebody starts meanwhile would copy its mounts, and what is
mounted anywhere cannot be detached."""
SETTLE_SECONDS = 30.0
"""How long a daemon may take to put right what its predecessor left."""


class Soak:
    """One run."""

    def __init__(self, home: Path, seed: str, seconds: float) -> None:
        self._daemon = Daemon(home, {**BRIDGE, "LOOP_ROOT": str(home / "loop"), "LOOP_INSTANCEID": "soak"})
        self._random = random.Random(f"{seed}/killer")
        self._seconds = seconds
        self.kills = 0
        self.settled = 0
        self.world = World(sum(count for _, _, count in KINDS))
        self._checks = Checks(home, self.world)
        self._clients = [
            kind(self._daemon, self.world, f"{word}{number}", seed)
            for kind, word, count in KINDS
            for number in range(count)
        ]
        self._talk = Talk(self._daemon, self.world, "soak")

    def run(self) -> None:
        """Kill and check until the time is over, then end everything and look again; ``Over`` on a violation."""
        try:
            self._start()
            self.world.add(Belief(SHARED))
            self._talk.docker("Create", Name=SHARED, Opts={"size": f"{2 * SIZE >> 20}MiB", "fstype": "ext4"})
            threads = [threading.Thread(target=client.run, daemon=True) for client in self._clients]
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + self._seconds
            while time.monotonic() < deadline and not self.world.violations:
                time.sleep(self._random.uniform(0.1, 5))
                self._kill_and_check(settle=self.kills % 2 == 0)
            self._finish()
        except Over:
            pass
        finally:
            self._daemon.kill()

    def clean_up(self) -> None:
        """Leave no mount and no device."""
        self._daemon.clean_up()

    def _start(self) -> None:
        self._daemon.start()
        self.world.change_daemon()

    def _kill_and_check(self, *, settle: bool) -> None:
        """Between two checks that everything is settled, there is a death in the middle of what the last one left."""
        self._daemon.kill()
        self.world.change_daemon()
        self.kills += 1
        if not self.world.still() and not self.world.violations:
            self.world.violated("a client hangs although there is no daemon: a mount does not answer")
        self._demand(self._checks.dead, 0)
        if not settle:
            self._start()
            return
        with self.world.calm() as reached:
            self._start()
            if not reached():
                self.world.violated("a call is not answered")
            self._demand(self._checks.settled, SETTLE_SECONDS)
            self.settled += 1

    def _finish(self) -> None:
        """The clients let go; then nothing is mounted and every byte is there; then nothing is left."""
        self.world.finishing = True
        if not self.world.join():
            self.world.violated("a client does not end")
        self._demand(self._checks.settled, SETTLE_SECONDS)
        for belief in list(self.world.beliefs.values()):
            self._talk.docker("Remove", Name=belief.name)
            self.world.forget(belief)
        self._daemon.stop()
        self.world.change_daemon()
        self._demand(self._checks.nothing_left, 0)

    def _demand(self, check: Callable[[], Iterable[str]], seconds: float) -> None:
        """Nothing is wrong, at the latest after so long."""
        deadline = time.monotonic() + seconds
        while (found := list(check())) and time.monotonic() < deadline and not self.world.violations:
            time.sleep(0.2)
        for line in found:
            self.world.violated(f"after kill {self.kills}, {check.__name__}: {line}")
        if self.world.violations:
            raise Over


def _let_others_go() -> None:
    """Keep no copy of what others have mounted: they could not detach it while this namespace lasts."""
    mounts = [mount.target for mount in mount_table() if mount.source.startswith("/dev/") and mount.target != "/"]
    for target in reversed(mounts):
        subprocess.run(["umount", "--lazy", target], check=False, stderr=subprocess.DEVNULL)


def main(arguments: list[str]) -> int:
    """One run as the environment says, and its report."""
    if os.geteuid() != 0:
        print("soak: mounts need root", file=sys.stderr)
        return 1
    if arguments != [INSIDE]:
        os.execvp("unshare", [*UNSHARE, sys.executable, str(Path(__file__).parent), INSIDE])
    _let_others_go()
    seed = os.environ.get("SOAK_SEED") or secrets.token_hex(4)
    seconds = float(os.environ.get("SOAK_SECONDS") or 600)
    home = Path(tempfile.mkdtemp(prefix="rxs"))
    print(f"soak: seed {seed}, {seconds:g} s, in {home}", flush=True)
    soak = Soak(home, seed, seconds)
    try:
        soak.run()
    finally:
        soak.clean_up()
    world = soak.world
    mib = world.written / (1 << 20)
    print(f"soak: {soak.kills} kills, {soak.settled} settled, {world.calls} calls, {mib:.0f} MiB written and fsynced")
    for line in world.violations:
        print(f"VIOLATION {line}")
    if world.violations:
        print(f"soak: {len(world.violations)} violations; again: SOAK_SEED={seed} make soak; the log is in {home}")
        return 1
    shutil.rmtree(home, ignore_errors=True)
    print("soak: nothing lost, nothing left")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
