"""Block volumes over loop devices: listing many, mounting beside bare mkfs and mount, many orchestrators at once."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from calls import DockerClient, Samples, csi_cycle, run_clients
from figures import milliseconds, timed

from service_parts import BRIDGE, REXRAY, Daemon

ORIGINAL_LS_SECONDS = 1.5
"""What the original's ``rexray volume ls`` takes on a machine like this."""

MAKE = """
import sys
from rexray.registry import registry
from rexray.settings import Sources
from rexray.types import VolumeSpec
storage = registry().storage_driver("loop").make(Sources())
for number in range(int(sys.argv[1]), int(sys.argv[2])):
    storage.create(VolumeSpec(name=f"volume-{number:05}", size_bytes=1 << 30))
"""

LIST = """
import resource, sys, time
from rexray.registry import registry
from rexray.settings import Sources
from rexray.volumes.driver import DefaultVolumes
driver = DefaultVolumes.make(Sources())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
count = sum(1 for _ in driver.list())
print(count, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def measure_block(folder: Path, scale: float) -> None:
    """Lists first, for the daemon's part leaves its volumes behind for a moment."""
    if os.geteuid() != 0:
        print("\nblock: loop devices need root, left out")
        return
    listing = Daemon(folder / "list", BRIDGE)
    listing.home.mkdir()
    _measure_lists(listing.environ, scale)
    daemon = Daemon(folder / "serve", BRIDGE)
    daemon.home.mkdir()
    daemon.start()
    try:
        _measure_mounts(daemon, max(5, int(50 * scale)))
        _measure_cycles(daemon, max(20, int(200 * scale)))
    finally:
        daemon.clean_up()


def _measure_lists(environ: dict[str, str], scale: float) -> None:
    print(f"\n{'volumes':>8} {'list ms':>9} {'us/volume':>10} {'memory KiB':>11} {'volume ls process ms':>21}")
    made = 0
    for count in (0, int(1000 * scale), int(10000 * scale)):
        subprocess.run([sys.executable, "-c", MAKE, str(made), str(count)], env=environ, check=True)
        made = count
        runs = [
            subprocess.run([sys.executable, "-c", LIST], env=environ, check=True, capture_output=True, text=True)
            for _ in range(5)
        ]
        found = [run.stdout.split() for run in runs]
        seconds = statistics.median(float(fields[1]) for fields in found)
        memory = statistics.median(int(fields[2]) for fields in found)
        whole = _median(partial(subprocess.run, [REXRAY, "volume", "ls"], env=environ, stdout=subprocess.DEVNULL))
        each = seconds / count * 1e6 if count else 0.0
        print(f"{count:8} {seconds * 1000:9.1f} {each:10.1f} {memory:11.0f} {whole * 1000:21.1f}")
        if not count:
            ratio = ORIGINAL_LS_SECONDS / whole
            print(f"{'':8} the whole process is {ratio:.1f} times as fast as the original's {ORIGINAL_LS_SECONDS} s")


def _median(action: Callable[[], object]) -> float:
    return statistics.median(timed(action) for _ in range(7))


def _measure_mounts(daemon: Daemon, rounds: int) -> None:
    """A volume's first mount formats it; a later one only mounts it."""
    client = DockerClient(daemon)
    samples: Samples = {name: [] for name in ("first Mount", "Unmount", "later Mount")}
    samples |= {name: [] for name in ("losetup+mkfs+mount", "umount+losetup -d", "losetup+mount")}
    image, target = daemon.home / "bare.img", daemon.home / "bare"
    target.mkdir()
    for number in range(rounds):
        name = f"block-{number}"
        client.call("Create", Name=name, Opts={"size": "1"})
        samples["first Mount"].append(timed(partial(client.call, "Mount", Name=name, ID="a")))
        samples["Unmount"].append(timed(partial(client.call, "Unmount", Name=name, ID="a")))
        samples["later Mount"].append(timed(partial(client.call, "Mount", Name=name, ID="a")))
        client.call("Unmount", Name=name, ID="a")
        client.call("Remove", Name=name)
        image.unlink(missing_ok=True)
        with image.open("wb") as file:
            file.truncate(1 << 30)
        samples["losetup+mkfs+mount"].append(timed(partial(_bare, image, target, mkfs=True)))
        samples["umount+losetup -d"].append(timed(partial(_bare_down, target)))
        samples["losetup+mount"].append(timed(partial(_bare, image, target, mkfs=False)))
        _bare_down(target)
    client.close()
    print(f"\n{'Docker on loop, ext4, 1 GiB':28} {'p50 ms':>9} {'p99 ms':>9}")
    for name, values in samples.items():
        print(f"{name:28} {milliseconds(values)}")
    for ours, bare in (("first Mount", "losetup+mkfs+mount"), ("Unmount", "umount+losetup -d")):
        ratio = statistics.median(samples[ours]) / statistics.median(samples[bare])
        print(f"{ours}: {ratio:.2f} times {bare}")


def _bare(image: Path, target: Path, *, mkfs: bool) -> None:
    """What nobody can do without, by the programs that everybody has."""
    attach = ["losetup", "--find", "--show", str(image)]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    if mkfs:
        subprocess.run(["mkfs.ext4", "-q", device], check=True)
    subprocess.run(["mount", device, str(target)], check=True)


def _bare_down(target: Path) -> None:
    find = ["findmnt", "-n", "-o", "SOURCE", str(target)]
    device = subprocess.run(find, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["umount", str(target)], check=True)
    subprocess.run(["losetup", "--detach", device], check=True)


def _measure_cycles(daemon: Daemon, clients: int) -> None:
    started = time.perf_counter()
    found = run_clients(csi_cycle, daemon, clients, 1)
    took = time.perf_counter() - started
    print(f"\n{clients} CSI cycles at once, create to delete: {took:.1f} s, {clients / took:.1f} cycles/s")
    for name, values in found.items():
        print(f"{name:28} {milliseconds(values)}")
