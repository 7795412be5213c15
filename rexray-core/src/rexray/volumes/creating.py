"""Making a volume as Docker's create asks for it, which also remembers what its first mount has to know."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from rexray import faults
from rexray.errors import AlreadyExists, Forbidden, InUse
from rexray.state import Record, Records
from rexray.types import Device, InstanceId, Volume
from rexray.volumes.options import Reader, Wishes
from rexray.volumes.platform import Platform
from rexray.volumes.publishing import BlockPublisher
from rexray.volumes.quiet import QuietVolumes
from rexray.volumes.settings import VolumeSettings

UNFORMATTED = "overwritefs"
"""In a record's context: the volume's create is to make a filesystem and has not finished; when it began."""

CREATE_SECONDS = 600.0
"""How long after its note a volume may have been made that a killed create is believed to have made."""
CLOCK_SECONDS = 60.0
"""How far the platform's clock may be behind this host's."""


class Creator:
    """Creates volumes; the callers hold the volume's lock."""

    def __init__(
        self,
        settings: VolumeSettings,
        platform: Platform,
        publisher: BlockPublisher,
        records: Records,
        quiet: QuietVolumes,
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._publisher = publisher
        self._records = records
        self._quiet = quiet
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
        known, record = find(), self._records.load(name)
        if known is not None:
            record = self._records.of_volume(known.id) or _of_volume(record, known)
            _refuse_other_wishes(known, wishes, record, here=self._publisher.instance.id)
        if self._settings.create_disable:
            if known is None:
                raise Forbidden(f"volume {name!r} does not exist, and rexray.volume.create.disable forbids to make it")
            return known
        if known is not None and not wishes.given:
            return known
        if known is None:
            record = self._begin(name, wishes, record)
            faults.point("volume-create-noted")
        source = wishes.spec.source_volume
        with self._quiet.hold([source] if source and known is None else []):
            volume = self._platform.storage.create(wishes.spec if known is None else wishes.of_existing(known))
        faults.point("volume-created")
        if record is None or record.volume_id != volume.id:
            context = wishes.context if record is None else record.context
            record = Record(name=name, volume_id=volume.id, context=context)
            if record.context or volume.id != name:
                self._records.save(record, durable=True)
        if UNFORMATTED in wishes.context:
            self._format(record, wishes, again=known is not None)
        return volume

    def is_formatted(self, name: str) -> None:
        """Note that there is a filesystem now, by whatever means."""
        record = self._records.load(name)
        if record is not None and UNFORMATTED in record.context:
            context = {key: value for key, value in record.context.items() if key != UNFORMATTED}
            self._records.save(replace(record, context=context), durable=True)

    def _begin(self, name: str, wishes: Wishes, left: Record | None) -> Record:
        """Note what a new volume shall be; what is ``left`` of an earlier one of that name says nothing about it."""
        if left is not None and (left.holders or self._publisher.is_published(left)):
            raise InUse(f"volume {name!r} is gone from the platform and still mounted here: unmount it first")
        began = {UNFORMATTED: str(int(time.time()))} if UNFORMATTED in wishes.context else {}
        record = Record(name=name, volume_id="", context={**wishes.context, **began})
        if left is not None or wishes.context:
            self._records.save(record, durable=True)
        return record

    def _format(self, record: Record, wishes: Wishes, *, again: bool) -> None:
        """Make the filesystem, attached for as long as it takes; ``again`` says that an earlier call may have done so.

        Another host may have made the volume of that name meanwhile, which the platform then gives to both. One that it
        has is not formatted, and the note is dropped with which a repetition would.
        """
        preparer = self._publisher.preparer
        with self._forgotten_if_used(record):
            attachment = self._publisher.attach(record)
        try:
            source = preparer.connect(attachment)
            if isinstance(source, Device):
                with self._forgotten_if_used(record):
                    self._make_filesystem(source, record, wishes, again=again)
        finally:
            self._publisher.detach(record, attachment)
        self.is_formatted(record.name)

    @contextlib.contextmanager
    def _forgotten_if_used(self, record: Record) -> Iterator[None]:
        try:
            yield
        except (AlreadyExists, InUse):
            self._records.forget(record.name)
            raise

    def _make_filesystem(self, device: Device, record: Record, wishes: Wishes, *, again: bool) -> None:
        """Overwrite what a copy holds; what was made without a source is blank, or it is not what this call made.

        What remains: another host that makes the same copy at the same time, and has written to it and detached it by
        now, loses that. Nothing on the platform tells the two copies apart.
        """
        fs_type = record.context.get("fstype", self._settings.fs_type)
        if wishes.spec.source_volume or wishes.spec.source_snapshot:
            if self._publisher.is_shared(record):
                raise InUse(f"volume {record.name!r} is attached to another instance as well: it is not formatted")
            self._platform.os.format(device, fs_type, overwrite=True)
            return
        try:
            if not (again and self._platform.os.probe(device) == fs_type):
                self._platform.os.format(device, fs_type)
        except AlreadyExists as error:
            raise AlreadyExists(
                f"volume {record.name!r} is not blank as what this call makes would be, and was not formatted: it is "
                "another host's, or remove it, or mount it with --overwriteFS"
            ) from error


def _of_volume(record: Record | None, volume: Volume) -> Record | None:
    """The record if it is that volume's, or may be: a create that was killed does not know the id yet."""
    if record is None or record.volume_id in ("", volume.id):
        return record
    if record.published:
        raise InUse(f"volume {record.name!r} is mounted here from before its name passed to another one: unmount it")
    return None


def _refuse_other_wishes(volume: Volume, wishes: Wishes, record: Record | None, *, here: InstanceId) -> None:
    """A create that is repeated, as Docker does at will, must not format what may be in use by now.

    Only what a killed create is known or believed to have made is formatted by its repetition.
    """
    made = record is not None and record.name == wishes.spec.name and _made_by(record, volume, here)
    if UNFORMATTED in wishes.context and not made:
        raise AlreadyExists(
            f"volume {volume.name!r} exists: overwritefs formats only what the same call makes; remove it first, or "
            "mount it with --overwriteFS"
        )
    before, now = (
        {k: v for k, v in found.items() if k != UNFORMATTED}
        for found in (record.context if record else {}, wishes.context)
    )
    if before and now and before != now:
        raise AlreadyExists(f"volume {volume.name!r} exists with options {before}, and was asked for with {now}")


def _made_by(record: Record, volume: Volume, here: InstanceId) -> bool:
    """Whether the volume is the one that the record's unfinished create made, which attaches it here alone."""
    elsewhere = any(attachment.instance_id != here for attachment in volume.attachments)
    if UNFORMATTED not in record.context or elsewhere:
        return False
    if record.volume_id:
        return record.volume_id == volume.id
    took = volume.created.timestamp() - int(record.context[UNFORMATTED]) if volume.created else float("inf")
    return -CLOCK_SECONDS <= took <= CREATE_SECONDS
