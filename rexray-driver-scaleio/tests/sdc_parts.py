"""A host with an SDC, beside a simulated gateway: its ``drv_cfg``, and devices and links for what is mapped to it."""

from __future__ import annotations

import os
import shlex
import stat
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import sdc_devices as devices
from gateway_parts import Gateway

_SCRIPT = """#!/bin/sh
# A stand-in for drv_cfg: what it says is in files beside it.
cd {folder} || exit 70
echo "$*" >> calls
if [ ! -f "says$1" ]; then
    echo "unknown option $1" >&2
    exit 1
fi
if [ -f "waits$1" ]; then
    sleep "$(cat "waits$1")"
fi
cat "says$1"
exit "$(cat "ends$1" 2>/dev/null || echo 0)"
"""
_TRAP_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Shown:
    """A volume that this host sees: the device (None without loop devices), its node and its links."""

    device: Path | None
    node: Path
    links: tuple[Path, ...]
    file: Path
    read_only: bool


class SdcHost:
    """A host that sees volumes ``delay`` seconds after they are mapped to it; ``with`` clears up after it.

    ``folder`` is for its ``drv_cfg``. ``dev`` is where its devices and ``disk/by-id`` are: other hosts on this machine
    have folders of their own. ``loops=False`` needs no root: its devices are empty files.
    """

    def __init__(
        self,
        gateway: Gateway,
        folder: Path,
        *,
        guid: str = "",
        delay: float = 0.0,
        dev: Path = Path("/dev"),
        loops: bool = True,
        name: str | None = None,
        ip: str = "10.0.0.11",
        system: str = "",
    ) -> None:
        self.gateway = gateway
        self.folder = folder
        self.guid = (guid or str(uuid.uuid4())).upper()
        self.system_id = system or gateway.system_id
        self.delay = delay
        self.dev = dev
        self.by_id = dev / "disk/by-id"
        self.drv_cfg = folder / "drv_cfg"
        self.unmapped_in_use: list[str] = []
        """The ids of volumes whose mapping was taken away while somebody had their device mounted or open."""
        self._loops = loops
        self._lock = threading.RLock()
        self._flushing = threading.Lock()
        self._shown: dict[str, _Shown] = {}
        self._timers: set[threading.Timer] = set()
        self._numbers = 0
        self._made: list[Path] = []
        self._closed = False
        folder.mkdir(parents=True, exist_ok=True)
        for missing in (self.by_id.parent, self.by_id):
            if not missing.exists():
                missing.mkdir(parents=True)
                self._made.append(missing)
        self._trap_file = folder / "trap"
        self._trap_file.write_bytes(bytes(_TRAP_BYTES))
        self._trap = self._node(self._trap_file, read_only=False)
        self.sdc_id = gateway.add_sdc(self.guid, ip, name=name, system=self.system_id)
        self._write_script()
        gateway.on_map.append(self._mapped)
        gateway.on_unmap.append(self._unmapped)
        gateway.on_resize.append(self._resized)
        gateway.on_overwrite.append(self._overwritten)
        gateway.before_copy.append(self._flush)
        for volume in gateway.visible(self.sdc_id):
            self._settle(volume)

    def __enter__(self) -> SdcHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave no device, node or link behind; the array knows the SDC as disconnected."""
        for told in (self.gateway.on_map, self.gateway.on_unmap):
            with suppress(ValueError):
                told.remove(self._mapped if told is self.gateway.on_map else self._unmapped)
        for heard, mine in (
            (self.gateway.on_resize, self._resized),
            (self.gateway.on_overwrite, self._overwritten),
            (self.gateway.before_copy, self._flush),
        ):
            with suppress(ValueError):
                heard.remove(mine)
        self.gateway.set_sdc(self.sdc_id, connected=False)
        with self._lock:
            self._closed = True
            timers = list(self._timers)
            for volume in list(self._shown):
                self._hide(volume)
            self._drop(self._trap, self._trap_file)
        for timer in timers:
            timer.cancel()
            timer.join()
        for made in reversed(self._made):
            with suppress(OSError):
                made.rmdir()

    # what it sees

    def device(self, volume: str) -> Path | None:
        """The device of a volume, by its id; None if this host does not see it."""
        shown = self._shown.get(volume)
        return (shown.device or shown.node) if shown else None

    def link(self, volume: str) -> Path:
        """Where the link of a volume is, or would be."""
        return self.by_id / f"emc-vol-{self.system_id}-{volume}"

    @property
    def shown(self) -> list[str]:
        """The ids of the volumes that have devices now."""
        return list(self._shown)

    @property
    def trap_touched(self) -> bool:
        """Whether somebody wrote to the device that every link of a partition leads to."""
        if self._loops:
            devices.flush(self._trap)
        return self._trap_file.read_bytes() != bytes(_TRAP_BYTES)

    # drv_cfg

    @property
    def drv_cfg_calls(self) -> list[str]:
        """The words of every call of ``drv_cfg``."""
        with suppress(FileNotFoundError):
            return (self.folder / "calls").read_text().splitlines()
        return []

    def drv_cfg_says(self, option: str, text: str, *, code: int = 0, seconds: float = 0.0) -> None:
        """Let it answer something else from now on, after a while."""
        self._write(f"says{option}", text)
        self._write(f"ends{option}", str(code))
        if seconds:
            self._write(f"waits{option}", str(seconds))
        else:
            (self.folder / f"waits{option}").unlink(missing_ok=True)

    def _write_script(self) -> None:
        # small letters, while the array has capitals
        self._write("says--query_guid", f"{self.guid.lower()}\n")
        known = f"MDM-ID {self.system_id} SDC ID {self.sdc_id} INSTALLATION ID {self.system_id[::-1]} IPs [0]-127.0.0.1"
        for option in ("--query_mdm", "--query_mdms"):
            self._write(f"says{option}", f"Retrieved 1 mdm(s)\n{known}\n")
        self._write("says--rescan", "")
        self._write_volumes()
        self.drv_cfg.write_text(_SCRIPT.format(folder=shlex.quote(str(self.folder))))
        self.drv_cfg.chmod(0o755)

    def _write_volumes(self) -> None:
        lines = [f"VOL-ID {volume} MDM-ID {self.system_id}" for volume in self._shown]
        self._write("says--query_vols", "\n".join([f"Retrieved {len(lines)} volume(s)", *lines, ""]))

    def _write(self, name: str, text: str) -> None:
        """Put a file there that nobody sees half of."""
        fresh = self.folder / f"{name}.new"
        fresh.write_text(text)
        fresh.rename(self.folder / name)

    # what the array tells it

    def _mapped(self, volume: str, sdc: str) -> None:
        if sdc != self.sdc_id:
            return
        if not self.delay:
            self._settle(volume)
            return
        timer = threading.Timer(self.delay, self._late, (volume,))
        timer.daemon = True
        with self._lock:
            if self._closed:
                return
            self._timers = {entry for entry in self._timers if entry.is_alive()} | {timer}
            timer.start()

    def _late(self, volume: str) -> None:
        try:
            self._settle(volume)
        except Exception as error:  # noqa: BLE001 - it happens beside the calls, and a test hears of it at the end
            self.gateway.trouble.append(f"showing {volume}: {type(error).__name__}: {error}")

    def _unmapped(self, volume: str, sdc: str) -> None:
        if sdc == self.sdc_id:
            self._settle(volume)

    def _settle(self, volume: str) -> None:
        """Show a volume or hide it, as its mapping is now: what the array tells may overtake what it told before."""
        with self._lock:
            mode = None if self._closed else self.gateway.access(volume, self.sdc_id)
            read_only = {"ReadWrite": False, "ReadOnly": True}.get(mode or "")
            shown = self._shown.get(volume)
            if shown is not None and shown.read_only != read_only:
                if shown.device is not None and self._in_use(shown.device):
                    self.unmapped_in_use.append(volume)
                self._hide(volume)
            if volume not in self._shown and read_only is not None:
                self._show(volume, read_only)

    def _in_use(self, device: Path) -> bool:
        # a flush for a snapshot has it open as well, which is no use
        with self._flushing:
            return devices.in_use(device)

    def _resized(self, volume: str) -> None:
        with self._lock:
            shown = self._shown.get(volume)
            if shown is not None and shown.device is not None:
                devices.losetup("--set-capacity", shown.device)

    def _overwritten(self, volume: str) -> None:
        self._flush(volume, forget=True)

    def _flush(self, volume: str, forget: bool = False) -> None:
        # with no lock of this host: the array holds its own, and this host asks the array while it holds its own
        shown = self._shown.get(volume)
        if shown is not None and shown.device is not None:
            with self._flushing, suppress(OSError):
                devices.flush(shown.device, forget)

    # devices, nodes and links

    def _show(self, volume: str, read_only: bool) -> None:
        try:
            file = self.gateway.backing(volume)
        except KeyError:
            return  # it was unmapped and removed a moment ago
        node = self._node(file, read_only)
        link = self.link(volume)
        links = (link, link.with_name(f"{link.name}-part1"))
        for path, target in zip(links, (node, self._trap), strict=True):
            fresh = path.with_name(f".{path.name}.new")
            fresh.symlink_to(f"../../{target.name}")
            fresh.rename(path)
        device = Path("/dev") / node.name if self._loops else None
        self._shown[volume] = _Shown(device, node, links, file, read_only)
        self._write_volumes()

    def _hide(self, volume: str) -> None:
        shown = self._shown.pop(volume)
        for link in shown.links:
            link.unlink(missing_ok=True)
        self._drop(shown.node, shown.file)
        self._write_volumes()

    def _node(self, file: Path, read_only: bool) -> Path:
        """A device of a file, in this host's folder of devices."""
        if not self._loops:
            self._numbers += 1
            node = self.dev / f"scini{self._numbers}"
            node.touch(exist_ok=False)
            return node
        device = devices.attach(file, read_only)
        node = self.dev / device.name
        if self.dev != Path("/dev"):
            try:
                os.mknod(node, stat.S_IFBLK | 0o660, device.stat().st_rdev)
            except OSError:
                devices.detach(device, file)
                raise
        return node

    def _drop(self, node: Path, file: Path) -> None:
        if not self._loops or self.dev != Path("/dev"):
            node.unlink(missing_ok=True)
        if self._loops:
            with suppress(OSError):
                devices.flush(Path("/dev") / node.name)
            devices.detach(Path("/dev") / node.name, file)
