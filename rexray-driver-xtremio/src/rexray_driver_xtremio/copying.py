"""Copies of volumes and snapshots, which become snapshots or clones: one for each name, whenever the process is killed.

Facts: v1 names a copy as it is told. v2 makes a snapshot set that is named as it is told, and names the copy in it by
itself, after its source; it is found through the set's ``vol-list`` and renamed by PUT (OpenStack Cinder's driver).

So that who comes after a kill finds the copy again, the set's name is a hash of what the copy is to be called and of
what. A copy has its name last: what has that name is complete. One that is not is shown by the name that the array made
until its maker, or who repeats the call, goes on.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rexray import faults
from rexray.errors import AlreadyExists, Busy, NotFound, RexrayError, Unavailable
from rexray.http import NoAnswer
from rexray_driver_xtremio import things
from rexray_driver_xtremio.deleting import DeleteCalls
from rexray_driver_xtremio.names import GROUP, HASH, MARK, digest, gone_name
from rexray_driver_xtremio.things import Content, Disk, SnapshotSet
from rexray_driver_xtremio.wanting import size_word

SETS = 16
"""How many sets are looked at whose copies have been renamed since, not by us."""
_MILLISECONDS = re.compile(r"\d{13}")
"""What the array may append instead of the suffix that it is given."""


class CopyCalls(DeleteCalls):
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
        tries = self._tries()
        while True:
            body: Content = {
                "snapshot-set-name": set_name,
                "snap-suffix": mark,
                "volume-list": [source.ref.word for source in sources],
                "snapshot-type": "readonly" if read_only else "regular",
            }
            made = False
            failed: RexrayError = Unavailable(f"snapshot set {set_name!r} was made and is not to be found")
            faults.point("xtremio-copy-asking")
            try:
                made = bool(self._xms.post("snapshots", body))
            except (AlreadyExists, Busy, NoAnswer) as error:
                failed = error
            faults.point("xtremio-copy-asked")
            found = self._set(set_name)
            if found is not None and made:
                self._refuse_copies_of_others(found, sources)
            if found is not None or isinstance(failed, AlreadyExists):
                return found
            tries.after(failed, Unavailable)
            sources = [self._source(source) for source in sources]

    def _source(self, source: Disk) -> Disk:
        """The source as it is now."""
        now = self._disk(source.ref.guid)
        if now is None:
            raise NotFound(f"{source.ref.name!r} ({source.ref.guid}) was removed while it was to be copied")
        return now

    def _copies(self, found: SnapshotSet) -> list[Disk]:
        """What is in a snapshot set."""
        if len(found.members) == 1:
            disk = self._disk(found.members[0].guid)
            return [] if disk is None else [disk]
        guids = {member.guid for member in found.members}
        return [disk for disk in self._disks() if disk.ref.guid in guids]

    def _refuse_copies_of_others(self, made: SnapshotSet, sources: list[Disk]) -> None:
        """Delete copies that this call has just made if they are of something that was called as a source was."""
        copies, guids = self._copies(made), {source.ref.guid for source in sources}
        if all(copy.ancestor is not None and copy.ancestor.guid in guids for copy in copies):
            return
        for copy in copies:
            self._delete(copy.ref.guid, f"the copy {copy.ref.name!r}", snapshot=copy.is_snapshot)
        self._drop_set(made)
        names = ", ".join(repr(source.ref.name) for source in sources)
        raise NotFound(f"{names}: what was called so was renamed or removed while it was copied: try again")

    def _named_copy(self, source: Disk, name: str) -> Disk:
        """In v1: the copy of that name, made if it is missing."""
        tries, made = self._tries(), -1
        failed: RexrayError = Unavailable(f"the copy {name!r} was made and is not to be found")
        while True:
            disk = self._disk_named(name)
            if disk is not None:
                if disk.ancestor is None or disk.ancestor.guid != source.ref.guid:
                    if disk.ref.index == made:
                        self._delete(disk.ref.guid, f"the copy {name!r}", snapshot=disk.is_snapshot)
                        raise NotFound(
                            f"{source.ref.name!r} was renamed or removed while it was to be copied: try again"
                        )
                    raise AlreadyExists(f"{name!r} ({disk.ref.guid}) exists and is no copy of {source.ref.name!r}")
                return disk
            if made >= 0:
                raise failed
            faults.point("xtremio-copy-asking")
            try:
                made = self._xms.post("snapshots", {"ancestor-vol-id": source.ref.word, "snap-vol-name": name})[0]
            except RexrayError as error:
                tries.after(error, AlreadyExists, NoAnswer)
                source = self._source(source)
            faults.point("xtremio-copy-asked")

    def _renamed(self, copy: Disk, name: str) -> Disk:
        """The copy by its own name; what else has that name is returned instead, and the copy is deleted."""
        tries, again = self._tries(), True
        failed: RexrayError = Unavailable(f"the copy {copy.ref.name!r} was renamed and is not called {name!r}")
        while (found := self._disk(copy.ref.guid)) is not None:
            if found.ref.name == name:
                return found
            if not again:
                raise failed
            faults.point("xtremio-rename-asking")
            try:
                self._rename(found, name)
            except RexrayError as error:
                failed, again = error, tries.again(error, AlreadyExists, NoAnswer, NotFound)
            else:
                again = False
            if isinstance(failed, AlreadyExists):
                other = self._disk_named(name)
                if other is not None and other.ref.guid != copy.ref.guid:
                    self._delete(copy.ref.guid, f"the copy {copy.ref.name!r}", snapshot=copy.is_snapshot)
                    return other
            faults.point("xtremio-renamed")
        raise Busy(f"the copy {name!r} of {copy.ref.name!r} was removed while it was made: try again")

    def _grown(self, guid: str, size_bytes: int, what: str) -> Disk:
        """That volume with at least so many bytes."""
        tries, again = self._tries(), True
        failed: RexrayError = Unavailable(f"{what} was grown and has its old size")
        while True:
            disk = self._disk(guid)
            if disk is None:
                raise NotFound(f"{what} does not exist in cluster {self._xms.about.cluster!r}")
            if disk.size_bytes >= size_bytes:
                return disk
            if not again:
                raise failed
            faults.point("xtremio-grow-asking")
            try:
                self._xms.put("volumes", disk.ref.word, {"vol-size": size_word(size_bytes)})
            except RexrayError as error:  # it may be that somebody else has made it larger meanwhile
                failed = error
                again = tries.again(error, NoAnswer, NotFound)
            else:
                again = False
            faults.point("xtremio-grown")

    def _drop_set(self, found: SnapshotSet) -> None:
        """Delete a set without members; one that has got some is left.

        With a set go its members, so that it first gets a name that no other set ever has, as volumes do.
        """
        tries = self._tries()
        gone = gone_name(found.ref.guid, snapshot=False) + (GROUP if found.ref.name.endswith(GROUP) else "")
        unsure: NoAnswer | None = None
        while (now := self._set(found.ref.name) or self._set(gone)) is not None:
            if now.ref.guid != found.ref.guid or now.members:
                return
            if unsure is not None:
                raise NoAnswer(f"{unsure}: snapshot set {now.ref.name!r} may still be deleted: try again")
            try:
                if now.ref.name != gone:
                    self._xms.put("snapshot-sets", now.ref.word, {"new-name": gone})
                    found = replace(found, ref=replace(found.ref, name=gone))
                    continue
                self._xms.delete("snapshot-sets", gone)
            except NoAnswer as error:
                if now.ref.name == gone:
                    unsure = error
                else:
                    tries.after(error, NoAnswer)
            except RexrayError as error:
                tries.after(error, NotFound)
            else:
                return


def _is_unnamed(disk: Disk, source: Disk, mark: str) -> bool:
    """Whether it is a copy of that source that still has the name that the array made."""
    if disk.ancestor is None or disk.ancestor.guid != source.ref.guid:
        return False
    before, _, end = disk.ref.name.rpartition(".")
    return end == mark or (before == source.ref.name and _MILLISECONDS.fullmatch(end) is not None)
