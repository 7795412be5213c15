"""This host's SDC, asked by its program ``drv_cfg``.

Facts: dell/goscaleio, ``drv_cfg.go`` (``--query_guid``, ``--query_mdm``, and the ioctls of ``/dev/scini``); Apache
CloudStack, ``ScaleIOUtil.java`` (``--query_vols``, ``--rescan``, and ``--query_mdms`` as newer releases spell it);
bsjerps/asmdisks, ``device.py`` (``--query_block_device_id``).
"""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from rexray import child
from rexray.child import Ended
from rexray.errors import RexrayError, Unavailable, Unsupported

PACKAGE = "EMC-ScaleIO-sdc"
SECONDS = 10.0
"""How long the program may take: it asks the kernel module and nobody else."""

ID = re.compile(r"[0-9a-f]{16}")
_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MDM = re.compile(r"MDM-ID ([0-9a-f]{16}) SDC ID ([0-9a-f]{16})\b")
_VOLUME = re.compile(r"VOL-ID ([0-9a-f]{16}) MDM-ID ([0-9a-f]{16})")
_DEVICE_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})")
_NONE_OR_MORE = re.compile(r"Retrieved ([0-9]+) (mdm|volume)\(s\)")

_IOCTL_RESCAN = ord("a") << 8 | 10
_IOCTL_GUID = ord("a") << 8 | 14
_IOCTL_SIZE = 32
"""8 bytes for the status, of which the first counts; 16 for the GUID; 8 that tell nothing of use here."""
_IOCTL_DONE = 65


@dataclass(frozen=True, slots=True, kw_only=True)
class Mdm:
    """A system that the SDC is connected to, and the id that it gave the SDC (16 hexadecimal digits each)."""

    system_id: str
    sdc_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A volume of one system: another system may have one of the same id (16 hexadecimal digits each)."""

    system_id: str
    volume_id: str

    @property
    def link(self) -> str:
        """The name that udev gives the device in ``/dev/disk/by-id``."""
        return f"emc-vol-{self.system_id}-{self.volume_id}"


class Sdc:
    """The kernel module and its program.

    ``device`` is the module's node, which is asked where the program is missing. Every method may raise
    ``Unsupported`` where there is neither, ``Unavailable`` if the answer makes no sense, and ``TimedOut``.
    """

    def __init__(self, program: str, device: Path) -> None:
        self._program, self._device = program, device

    def guid(self) -> str:
        """The GUID by which every system knows this host, in upper case."""
        if self._is_missing():
            return guid_of(self._control(_IOCTL_GUID))
        ended = self._run("--query_guid", action="ask for this host's GUID")
        lines = [line.strip() for line in ended.stdout.splitlines() if line.strip()]
        if ended.status != 0 or len(lines) != 1 or not _GUID.fullmatch(lines[0]):
            raise Unavailable(
                f"{self._program} --query_guid tells no GUID: {ended.complaint!r}; is the service scini running?"
            )
        return lines[0].upper()

    def mdms(self) -> tuple[Mdm, ...]:
        """The systems that this host is connected to; none where the program is missing."""
        if self._is_missing():
            return ()
        for option in ("--query_mdms", "--query_mdm"):
            ended = self._run(option, action="ask for this host's systems")
            found = {Mdm(system_id=system, sdc_id=sdc) for system, sdc in _MDM.findall(ended.stdout)}
            if found or _counted(ended) == 0:
                return tuple(sorted(found, key=lambda mdm: mdm.system_id))
        raise Unavailable(f"{self._program} --query_mdms tells no systems: {ended.complaint!r}")

    def volumes(self, *, seconds: float = SECONDS) -> frozenset[Mapped]:
        """The volumes that are mapped to this host."""
        ended = self._run("--query_vols", action="ask for the volumes of this host", seconds=seconds)
        found = [Mapped(system_id=system, volume_id=volume) for volume, system in _VOLUME.findall(ended.stdout)]
        if _counted(ended) != len(found):
            raise Unavailable(f"{self._program} --query_vols tells no volumes: {ended.complaint!r}")
        return frozenset(found)

    def identify(self, node: Path, *, seconds: float = SECONDS) -> Mapped | None:
        """Whose device the node is, None if the program does not tell, as releases that lack the question.

        The answer is what udev's link has after ``emc-vol-``: the system's id, a dash and the volume's.
        """
        if self._is_missing():
            return None
        options = ("--query_block_device_id", "--block_device", str(node))
        ended = self._run(*options, action=f"ask which volume {node} is", seconds=seconds)
        answer = _DEVICE_ID.fullmatch(ended.stdout.strip())
        return Mapped(system_id=answer[1], volume_id=answer[2]) if answer and ended.status == 0 else None

    def rescan(self, *, seconds: float = SECONDS) -> None:
        """Have the kernel module ask its systems at once which volumes are mapped to this host."""
        if self._is_missing():
            self._control(_IOCTL_RESCAN)
            return
        ended = self._run("--rescan", action="look for new volumes", seconds=seconds)
        if ended.status != 0:
            raise Unavailable(f"{self._program} --rescan failed: {ended.complaint!r}")

    def _is_missing(self) -> bool:
        return child.find(self._program) is None

    def _run(self, *options: str, action: str, seconds: float = SECONDS) -> Ended:
        path = child.find(self._program)
        if path is None:
            raise self._unsupported(f"{self._device} cannot be asked for this")
        # 8192 volumes can be mapped to a host, of some 50 bytes each
        return child.run([path, *options], seconds=seconds, action=action, most=1 << 20)

    def _control(self, request: int) -> bytes:
        """Ask the module without its program; the answer that it wrote."""
        answer = bytearray(_IOCTL_SIZE)
        try:
            fd = os.open(self._device, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unsupported(f"{self._device}: {error.strerror}") from None
        try:
            fcntl.ioctl(fd, request, answer)
        except OSError as error:
            raise self._unsupported(f"{self._device}: {error.strerror}") from None
        finally:
            os.close(fd)
        return bytes(answer)

    def _unsupported(self, why: str) -> RexrayError:
        return Unsupported(
            f"{self._program} is not there ({why}): install the package {PACKAGE}, or say in scaleio.drvCfg where it is"
        )


def guid_of(answer: bytes) -> str:
    """The GUID in the kernel module's answer, in upper case; ``Unavailable`` if the module says that it has none."""
    if len(answer) < _IOCTL_SIZE or answer[0] != _IOCTL_DONE:
        raise Unavailable(f"the kernel module scini tells no GUID (status {answer[0] if answer else 'none'})")
    return str(uuid.UUID(bytes=answer[8:24])).upper()


def _counted(ended: Ended) -> int | None:
    """How many the program says that it has listed, None if it says nothing of the kind."""
    said = _NONE_OR_MORE.search(ended.stdout)
    return int(said[1]) if said and ended.status == 0 else None
