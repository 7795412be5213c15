"""Copies of volumes and snapshots, which become snapshots or clones: one for each name, whenever the process is killed.

Facts: v1 names a copy as it is told. v2 makes a snapshot set that is named as it is told, and names the copy in it by
itself, after its source; it is found through the set's ``vol-list`` and renamed by PUT (OpenStack Cinder's driver).

So that who comes after a kill finds the copy again, the set's name is a hash of what the copy is to be called and of
what. A copy has its name last: what has that name is complete. One that is not is shown by the name that the array made
until its maker, or who repeats the call, goes on.
"""

from __future__ import annotations

import re

from rexray import faults
from rexray.errors import AlreadyExists, Busy, InvalidRequest, NotFound, RexrayError, Unavailable
from rexray.http import NoAnswer
from rexray_driver_xtremio import things
from rexray_driver_xtremio.base import TRIES, XtremIoCalls
from rexray_driver_xtremio.names import HASH, MARK, digest
from rexray_driver_xtremio.refusals import MALFORMED, said
from rexray_driver_xtremio.things import Content, Disk, SnapshotSet
from rexray_driver_xtremio.wanting import size_word

SETS = 16
"""How many sets are looked at whose copies have been renamed since, not by us."""
_MILLISECONDS = re.compile(r"\d{13}")
"""What the array may append instead of the suffix that it is given."""


class CopyCalls(XtremIoCalls):
    """What ``create``, ``create_snapshot`` and ``expand`` have in common."""

    def _copy(self, source: Disk, name: str, *, read_only: bool, size_bytes: int) -> Disk:
        """The copy of that array name and size, which no volume has as far as is known; maybe another one's by now."""
        key = digest(name, source.ref.guid, "readonly" if read_only else "regular")
        if self._xms.about.v2:
            copy = self._member(source, key, read_only=read_only)
        else:
            copy = self._named_copy(source, name if size_bytes == source.size_bytes else f"rexray-{key[:HASH]}")
        faults.point("xtremio-copy-found")
        if copy.size_bytes < size_bytes:
            copy = self._grown(copy.ref.guid, size_bytes, f"the copy {name!r}")
            faults.point("xtremio-copy-grown")
        return copy if copy.ref.name == name else self._renamed(copy, name)

    def _member(self, source: Disk, key: str, *, read_only: bool) -> Disk:
        """The copy in its set, made if it is missing; it has the name that the array gave it."""
        for number in range(SETS):
            set_name, mark = f"rexray-{key[:HASH]}-{number}", f"{key[:MARK]}{number:x}"
            found = self._set(set_name)
            if found is not None and not found.members:
                self._drop_set(found)
                found = None
            if found is None:
                found = self._taken(set_name, mark, [source], read_only=read_only)
            disk = self._disk(found.members[0].guid) if found is not None and found.members else None
            if disk is not None and _is_unnamed(disk, source, mark):
                return disk
        raise AlreadyExists(
            f"{SETS} copies of {source.ref.name!r} that were made under one name are called otherwise now"
        )

    def _set(self, name: str) -> SnapshotSet | None:
        found = self._xms.get("snapshot-sets", name, things.snapshot_set)
        return found if found is not None and found.ref.name == name else None

    def _taken(self, set_name: str, mark: str, sources: list[Disk], *, read_only: bool) -> SnapshotSet | None:
        """Copies of the sources, of one moment; None if a copy's name is taken by something else."""
        body: Content = {
            "snapshot-set-name": set_name,
            "snap-suffix": mark,
            "volume-list": [source.ref.word for source in sources],
            "snapshot-type": "readonly" if read_only else "regular",
        }
        failed: RexrayError | None = None
        for _ in range(TRIES):
            faults.point("xtremio-copy-asking")
            try:
                self._xms.post("snapshots", body)
            except (AlreadyExists, NoAnswer) as error:
                failed = error
            faults.point("xtremio-copy-asked")
            found = self._set(set_name)
            if found is not None or isinstance(failed, AlreadyExists):
                return found
        raise failed or Unavailable(f"snapshot set {set_name!r} was made and is not to be found")

    def _named_copy(self, source: Disk, name: str) -> Disk:
        """In v1: the copy of that name, made if it is missing."""
        failed: RexrayError | None = None
        for _ in range(TRIES):
            disk = self._disk_named(name)
            if disk is not None:
                if disk.ancestor is None or disk.ancestor.guid != source.ref.guid:
                    raise AlreadyExists(f"{name!r} ({disk.ref.guid}) exists and is no copy of {source.ref.name!r}")
                return disk
            faults.point("xtremio-copy-asking")
            try:
                self._xms.post("snapshots", {"ancestor-vol-id": source.ref.word, "snap-vol-name": name})
            except (AlreadyExists, NoAnswer) as error:
                failed = error
            faults.point("xtremio-copy-asked")
        raise failed or Unavailable(f"the copy {name!r} was made and is not to be found")

    def _renamed(self, copy: Disk, name: str) -> Disk:
        """The copy by its own name; what else has that name is returned instead, and the copy is deleted."""
        failed: RexrayError | None = None
        for _ in range(TRIES):
            found = self._disk(copy.ref.guid)
            if found is None:
                break
            if found.ref.name == name:
                return found
            faults.point("xtremio-rename-asking")
            try:
                self._rename(found, name)
            except NoAnswer as error:
                failed = error
            except NotFound:
                continue
            except AlreadyExists as error:
                other = self._disk_named(name)
                if other is not None and other.ref.guid != copy.ref.guid:
                    self._delete(copy.ref.guid, f"the copy {copy.ref.name!r}", snapshot=copy.is_snapshot)
                    return other
                failed = error
            faults.point("xtremio-renamed")
        raise failed or Busy(f"the copy {name!r} of {copy.ref.name!r} was removed while it was made: try again")

    def _rename(self, disk: Disk, name: str) -> None:
        """v2 has two words for a name, of which some versions take one only."""
        if not self._xms.about.v2:
            self._xms.put("volumes", disk.ref.word, {"vol-name": name})
            return
        try:
            self._xms.put("volumes", disk.ref.word, {"name": name})
        except InvalidRequest as error:
            if not said(error).startswith(MALFORMED):
                raise
            self._xms.put("volumes", disk.ref.word, {"vol-name": name})

    def _grown(self, guid: str, size_bytes: int, what: str) -> Disk:
        """That volume with at least so many bytes."""
        failed: RexrayError | None = None
        for _ in range(TRIES):
            disk = self._disk(guid)
            if disk is None:
                raise NotFound(f"{what} does not exist in cluster {self._xms.about.cluster!r}")
            if disk.size_bytes >= size_bytes:
                return disk
            if failed is not None and not isinstance(failed, (NoAnswer, NotFound)):
                break
            faults.point("xtremio-grow-asking")
            try:
                self._xms.put("volumes", disk.ref.word, {"vol-size": size_word(size_bytes)})
            except RexrayError as error:  # it may be that somebody else has made it larger meanwhile
                failed = error
            faults.point("xtremio-grown")
        raise failed or Unavailable(f"{what} was grown and has its old size")

    def _drop_set(self, found: SnapshotSet) -> None:
        """Delete a set without members; one that has got some is left."""
        now = self._set(found.ref.name)
        if now is None or now.ref.guid != found.ref.guid or now.members:
            return
        try:
            self._xms.delete("snapshot-sets", now.ref.word)
        except NotFound:
            return


def _is_unnamed(disk: Disk, source: Disk, mark: str) -> bool:
    """Whether it is a copy of that source that still has the name that the array made."""
    if disk.ancestor is None or disk.ancestor.guid != source.ref.guid:
        return False
    before, _, end = disk.ref.name.rpartition(".")
    return end == mark or (before == source.ref.name and _MILLISECONDS.fullmatch(end) is not None)
