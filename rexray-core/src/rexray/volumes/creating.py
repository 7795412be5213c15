"""Making a volume as Docker's create asks for it, which also remembers what its first mount has to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from rexray import faults
from rexray.errors import AlreadyExists, Forbidden, InUse
from rexray.state import Record, Records
from rexray.types import Device, Volume
from rexray.volumes.options import Reader, Wishes
from rexray.volumes.platform import Platform
from rexray.volumes.publishing import BlockPublisher
from rexray.volumes.settings import VolumeSettings

UNFORMATTED = "overwritefs"
"""In a record's context: the volume's create is to make a filesystem, and has not finished."""


class Creator:
    """Creates volumes; the callers hold the volume's lock."""

    def __init__(
        self, settings: VolumeSettings, platform: Platform, publisher: BlockPublisher, records: Records
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._publisher = publisher
        self._records = records
        self._reader = Reader(settings, platform.storage)

    def read(self, name: str, options: Mapping[str, str]) -> Wishes:
        """The options, checked."""
        return self._reader.read(name, options)

    def create(self, wishes: Wishes, find: Callable[[], Volume | None]) -> Volume:
        """The volume, made if it is missing; ``find`` looks for the one of that name.

        What the first mount has to know is on disk before the platform is asked, so that a create that was killed
        can be said again, and nothing is mounted that a create was still to format.
        """
        name = wishes.spec.name
        known = find()
        record = self._records.load(name)
        if known is not None:
            self._refuse_overwrite(name, wishes, record)
        if self._settings.create_disable:
            if known is None:
                raise Forbidden(f"volume {name!r} does not exist, and rexray.volume.create.disable forbids to make it")
            return known
        if known is None:
            record = self._begin(name, wishes, record)
            faults.point("volume-create-noted")
        volume = self._platform.storage.create(wishes.spec)
        faults.point("volume-created")
        record = replace(record or Record(name=name, volume_id=""), volume_id=volume.id)
        if record.context or volume.id != name:
            self._records.save(record, durable=True)
        if UNFORMATTED in record.context:
            self._format(record)
        return volume

    def _begin(self, name: str, wishes: Wishes, left: Record | None) -> Record:
        """Note what a new volume shall be; what is ``left`` of an earlier one of that name says nothing about it."""
        if left is not None and (left.holders or self._publisher.is_published(name)):
            raise InUse(f"volume {name!r} is gone from the platform and still mounted here: unmount it first")
        record = Record(name=name, volume_id="", context=wishes.context)
        if left is not None or wishes.context:
            self._records.save(record, durable=True)
        return record

    def _refuse_overwrite(self, name: str, wishes: Wishes, record: Record | None) -> None:
        """A create that is repeated, as Docker does at will, must never format what is in use by now."""
        pending = record is not None and UNFORMATTED in record.context
        if UNFORMATTED in wishes.context and not pending:
            raise AlreadyExists(f"volume {name!r} exists: overwritefs formats only what the same call makes")

    def _format(self, record: Record) -> None:
        """Make the filesystem, attached for as long as it takes."""
        attachment = self._publisher.attach(record)
        try:
            source = self._publisher.preparer.connect(attachment)
            if isinstance(source, Device):
                fs_type = record.context.get("fstype", self._settings.fs_type)
                self._platform.os.format(source, fs_type, overwrite=True)
        finally:
            self._publisher.detach(record, attachment)
        context = {key: value for key, value in record.context.items() if key != UNFORMATTED}
        self._records.save(replace(record, context=context), durable=True)
