"""Mapping a volume to an initiator group, and unmapping it.

Facts: a mapping is of a volume, an initiator group and a target group, by whose indexes it is named (``18_4_1``), and
can be deleted by that name. POST takes a ``lun``; without one the array takes the group's next free one (goxtremio;
OpenStack Cinder's driver for XtremIO). Hosts find LUNs up to 255 without being told to look further (Linux's sd).

A host that still has the device of a LUN that it lost would read and write whatever gets that LUN next. Each volume
therefore begins to look for a free LUN at one of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from rexray import faults
from rexray.errors import AlreadyExists, NotFound, RexrayError
from rexray.http import NoAnswer
from rexray.types import VolumeId
from rexray_driver_xtremio import things
from rexray_driver_xtremio.refusals import MAPPED, said
from rexray_driver_xtremio.registering import HostCalls
from rexray_driver_xtremio.things import Disk, Mapped, Ref

LUNS = 255
"""LUNs that a volume is given, from 1 on; the array chooses when a group has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A mapping that a call made, as far as that is certain."""

    group: Ref
    name: str
    """What the volume was called then."""
    lun: int | None
    """None if the array was to choose."""


class MapCalls(HostCalls):
    """What ``attach`` and ``detach`` have in common."""

    def _map(self, volume_id: VolumeId, group: Ref) -> Made | None:
        """Map the volume to the group; None if it was this by somebody else before."""
        tries, luns = self._tries(), _luns(volume_id, self._taken_luns(group))
        lun = next(luns, None)
        made: Made | None = None
        while True:
            disk = self._volume(volume_id)
            if is_mapped(disk, [group]):
                return made
            body: dict[str, object] = {"vol-id": disk.ref.word, "ig-id": group.word}
            if lun is not None:
                body["lun"] = lun
            faults.point("xtremio-attach-asking")
            try:
                self._xms.post("lun-maps", body)
            except NoAnswer as error:  # what is there from now on counts as made by this
                made = Made(group=group, name=disk.ref.name, lun=lun)
                unsure = f"{error}: volume {volume_id!r} may still be mapped to {group.name!r}: detach it there"
                tries.after(NoAnswer(unsure), NoAnswer)
            except RexrayError as error:
                if lun is not None and _is_lun_taken(error):
                    lun = next(luns, None)
                    continue
                if isinstance(error, AlreadyExists) and MAPPED not in said(error):
                    raise
                tries.after(error, AlreadyExists, NotFound)
            else:
                faults.point("xtremio-attach-asked")
                return Made(group=group, name=disk.ref.name, lun=lun)

    def _taken_luns(self, group: Ref) -> set[int]:
        """The LUNs of a group; before XMS 4.0, where that is one call for each of all mappings, the array refuses."""
        if not self._xms.about.v2:
            return set()
        return set(self._xms.every("lun-maps", things.lun, [f"ig-index:eq:{group.index}"]))

    def _take_back(self, volume_id: VolumeId, made: Made) -> None:
        """Unmap what was called as the volume was when it was mapped, if it has just that mapping."""
        other = self._disk_named(made.name)
        if other is None or other.ref.guid == volume_id or made.lun is None:
            return
        if any(found.lun == made.lun for found in mappings(other, made.group)):
            self._unmap(VolumeId(other.ref.guid), made.group)

    def _unmap(self, volume_id: VolumeId, group: Ref) -> None:
        """Unmap the volume from the group, and from no other one; not mapped is success.

        It is asked for once for each look; ``NoAnswer`` if it may still happen.
        """
        tries = self._tries()
        unsure: NoAnswer | None = None
        while True:
            disk = self._disk(volume_id)
            mapped = next(mappings(disk, group), None) if disk is not None else None
            if disk is None or mapped is None:
                return
            if unsure is not None:
                raise NoAnswer(
                    f"{unsure}: volume {volume_id!r} may still be unmapped from {group.name!r}: do not attach it there "
                    "before the array is done, and detach it again"
                )
            # by its name: the index may be another mapping's by then, of a volume that is in use
            name = f"{disk.ref.index}_{mapped.group.index}_{mapped.target_group.index}"
            faults.point("xtremio-detach-asking")
            try:
                self._xms.delete("lun-maps", name)
            except NoAnswer as error:
                unsure = error
            except RexrayError as error:
                tries.after(error, NotFound)
            else:
                faults.point("xtremio-detach-asked")
                return


def mappings(disk: Disk, group: Ref) -> Iterator[Mapped]:
    """The disk's mappings to the group."""
    return (mapped for mapped in disk.mappings if mapped.group.guid == group.guid)


def is_mapped(disk: Disk, groups: list[Ref]) -> bool:
    """Whether the disk is mapped to one of the groups."""
    return any(True for group in groups for _ in mappings(disk, group))


def other_mappings(disk: Disk, groups: list[Ref]) -> list[Mapped]:
    """The disk's mappings to other groups than these."""
    mine = {group.guid for group in groups}
    return [mapped for mapped in disk.mappings if mapped.group.guid not in mine]


def _is_lun_taken(error: RexrayError) -> bool:
    """Whether the array refused the LUN and not the mapping: in which words is not documented."""
    return type(error) in (RexrayError, AlreadyExists) and MAPPED not in said(error) and "lun" in said(error).lower()


def _luns(volume_id: VolumeId, taken: set[int]) -> Iterator[int]:
    """LUNs to try, from the volume's own one on."""
    first = int.from_bytes(hashlib.sha256(volume_id.encode()).digest()[:8])
    return (lun for step in range(LUNS) if (lun := (first + step) % LUNS + 1) not in taken)
