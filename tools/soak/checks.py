"""What the kernel and the disk say of a run, against what its clients believe; the daemon is asked nothing."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from world import Belief, World


def sha256_of(file: Path) -> str:
    """The sum of what is on the disk: clean pages of the file are dropped before it is read; or why it has none."""
    try:
        with file.open("rb") as content:
            os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        return f"not to be read ({error.strerror})"


class Checks:
    """The checks of one run, which is all below ``home``; each gives a line for everything that is wrong."""

    def __init__(self, home: Path, world: World) -> None:
        self._home = home
        self._world = world
        self._loop = home / "loop"
        self._records = home / "var/lib/docker/loop"

    def dead(self) -> Iterator[str]:
        """While there is no daemon, and no client does anything: calls may have been cut off."""
        mounts, devices = self._mounts(), self._devices()
        beliefs = self._world.beliefs
        for name in sorted(set(mounts) | set(devices)):
            belief = beliefs.get(name)
            if belief is None or not (belief.used or belief.unsure):
                yield f"{name}: nobody uses it, and it has mounts {mounts.get(name, [])} and devices {devices[name]}"
        for belief in beliefs.values():
            if belief.used and not belief.unsure:
                yield from self._in_use(belief, mounts.get(belief.name, []))
        yield from self._locks()

    def settled(self) -> Iterator[str]:
        """With a daemon, and no call under way: everything is as the clients believe."""
        mounts, devices, records = self._mounts(), self._devices(), self._holders()
        beliefs = self._world.beliefs
        for name in sorted({*mounts, *devices, *records, *beliefs}):
            belief = beliefs.get(name) or Belief(name)
            count = len(belief.places) + (1 if belief.holders else 0)
            if len(mounts.get(name, [])) != count:
                yield f"{name}: {count} mounts are believed, there are {mounts.get(name, [])}"
            if devices[name] != (1 if count else 0):
                yield f"{name}: it has {devices[name]} loop devices and {count} mounts"
            if records.get(name, set()) != belief.holders:
                yield f"{name}: the record has holders {sorted(records.get(name, ()))}, not {sorted(belief.holders)}"
            if belief.used:
                yield from self._in_use(belief, mounts.get(name, []))
            else:
                yield from self._at_rest(belief)
        volumes = set(os.listdir(self._loop / "volumes"))
        if volumes != set(beliefs):
            yield f"volumes on the disk that nobody made or without those made: {sorted(volumes ^ set(beliefs))}"
        snapshots = set(os.listdir(self._loop / "snapshots")) if (self._loop / "snapshots").exists() else set()
        if snapshots != self._world.snapshots:
            yield f"snapshots: {sorted(snapshots)} on the disk, not {sorted(self._world.snapshots)}"
        yield from self._leftovers()
        yield from self._locks()

    def nothing_left(self) -> Iterator[str]:
        """After everything was removed and the daemon has ended."""
        yield from self.settled()
        for folder in (self._records, self._home / "var/lib/volumes", self._home / "var/run/locks"):
            for path in folder.iterdir() if folder.exists() else ():
                yield f"left over: {path}"

    def _in_use(self, belief: Belief, mounts: list[str]) -> Iterator[str]:
        """Every mount that is believed is there, and so is every byte that was fsynced."""
        wanted = belief.places or {belief.path}
        for place in wanted:
            if not any(place == mount or place.startswith(mount + "/") for mount in mounts):
                yield f"{belief.name}: nothing is mounted at {place} for {sorted(belief.holders)}: {mounts}"
                return
        if belief.path in belief.places or belief.holders:
            for label, digest in belief.files.items():
                found = sha256_of(Path(belief.path, label))
                if found != digest:
                    yield f"{belief.name}: {label} is {found}, and {digest} was fsynced"

    def _at_rest(self, belief: Belief) -> Iterator[str]:
        """Every byte is in the filesystem of a volume that is mounted nowhere, as debugfs(8) reads it."""
        image = self._loop / "volumes" / belief.name / "data"
        for label, digest in belief.files.items():
            read = subprocess.run(
                ["debugfs", "-R", f"cat {label}", str(image)], capture_output=True, check=False, timeout=60
            )
            if hashlib.sha256(read.stdout).hexdigest() != digest:
                said = read.stderr.decode(errors="replace").splitlines()[1:]
                yield f"{belief.name}: {label} on the disk is not what was fsynced {said}"

    def _mounts(self) -> dict[str, list[str]]:
        """Where each volume is mounted, by the name of the volume; what is no volume's is by its source."""
        names = {device: name for name, device in self._loops()}
        found: dict[str, list[str]] = {}
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            words, _, rest = line.partition(" - ")
            place, source = words.split()[4], rest.split()[1]
            if place.startswith(f"{self._home}/"):
                found.setdefault(names.get(source, source), []).append(place)
        return found

    def _devices(self) -> Counter[str]:
        return Counter(name for name, _ in self._loops())

    def _loops(self) -> Iterator[tuple[str, str]]:
        """The volume and the node of each loop device over a file below the home."""
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):
                file = backing.read_text().strip()
                if file.startswith(f"{self._home}/"):
                    parent = Path(file).parent
                    known = parent.parent == self._loop / "volumes" and file.endswith("/data")
                    yield parent.name if known else file, f"/dev/{backing.parts[3]}"

    def _holders(self) -> dict[str, set[str]]:
        """The holders in the records of volumes that are mounted, or on their way."""
        found = {}
        for file in self._records.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                record = json.loads(file.read_text())
                if record["published"]:
                    found[str(record["name"])] = set(record["holders"])
        return found

    def _leftovers(self) -> Iterator[str]:
        """What only an operation under way may have."""
        written = (path for path in self._files() if path.name.endswith((".new", ".json.tmp")))
        for path in (*(self._loop / "tmp").glob("*"), *written):
            yield f"left over: {path}"

    def _locks(self) -> Iterator[str]:
        """Locks that somebody holds: a process that outlives the daemon has inherited them."""
        for path in self._files():
            if not any(part.endswith("locks") for part in path.parts):
                continue
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield f"locked: {path}: {path.read_text().strip()}"

    def _files(self) -> Iterator[Path]:
        """Every file below the home, but for those in volumes; a daemon that recovers may take some away meanwhile."""
        for folder, inside, files in os.walk(self._home):
            inside[:] = [name for name in inside if not os.path.ismount(os.path.join(folder, name))]
            yield from (Path(folder, name) for name in files)
