"""Making volumes, growing and removing them: one volume for each name, whenever the process is killed."""

from __future__ import annotations

from rexray import faults
from rexray.errors import AlreadyExists, Busy, NotFound, RexrayError, Unavailable
from rexray.http import NoAnswer
from rexray.mixins import Clone, Expand
from rexray.types import Volume, VolumeId, VolumeSpec
from rexray_driver_xtremio.copying import CopyCalls
from rexray_driver_xtremio.names import array_name
from rexray_driver_xtremio.things import Disk
from rexray_driver_xtremio.wanting import Wanted, size_word, whole_mib


class MakingCalls(CopyCalls, Clone, Expand):
    """``create``, ``expand`` and ``remove`` of the contract."""

    def create(self, spec: VolumeSpec) -> Volume:
        """The volume of that name, made if it is missing; 16 GiB where no size is asked for.

        The sizes are whole MiB. A copy of a volume or a snapshot shares its data with that until it is written to.
        """
        wanted, name = Wanted(spec), array_name(spec.name)
        with self._held(name, why=f"making volume {spec.name}"):
            disk = self._copied(spec, wanted, name) if wanted.source else self._new(wanted, name)
            wanted.refuse_other(disk)
        return self._described(disk, spec.name)

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        """Grow to the next whole MiB; as large already is success."""
        disk = self._volume(volume_id)
        if disk.size_bytes < size_bytes:
            size = whole_mib(size_bytes, limit_bytes, f"volume {volume_id!r}")
            disk = self._grown(volume_id, size, f"volume {volume_id!r}")
        return self._described(disk)

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        """Delete the volume; an attached one is ``InUse`` with its holders, ``force`` or not. A missing one is gone."""
        with self._held(volume_id, why=f"removing volume {volume_id}"):
            self._delete(volume_id, f"volume {volume_id!r}", snapshot=False)

    def _new(self, wanted: Wanted, name: str) -> Disk:
        """The volume of that name: it is made without looking first, as the array has a name only once."""
        tries = self._tries()
        body = {"vol-name": name, "vol-size": size_word(wanted.new_size)}
        while True:
            made: int | None = None
            failed: RexrayError = Unavailable(f"volume {name!r} is made and removed again by somebody else: try again")
            faults.point("xtremio-create-asking")
            try:
                made = self._xms.post("volumes", body)[0]
            except (AlreadyExists, Busy, NoAnswer) as error:
                failed = error
            faults.point("xtremio-create-asked")
            disk = self._newcomers.disk(made) if made is not None else None
            if disk is None or disk.ref.name != name:
                disk = self._disk_named(name)
            if disk is not None:
                self._indexes[disk.ref.guid] = disk.ref.index
                return disk
            tries.after(failed, AlreadyExists, Unavailable)

    def _copied(self, spec: VolumeSpec, wanted: Wanted, name: str) -> Disk:
        found = self._disk_named(name)
        if found is not None:
            return found
        source = self._disk(wanted.source)
        kind = "snapshot" if spec.source_snapshot else "volume"
        if source is None or source.is_snapshot != bool(spec.source_snapshot):
            raise NotFound(f"volume {spec.name!r}: {kind} {wanted.source!r}, its source, does not exist")
        return self._copy(source, name, read_only=False, size_bytes=wanted.copy_size(source))
