"""Who holds a volume's mount: the first holder mounts, the last one unmounts, and the disk knows before each step.

Docker says Mount and Unmount once each and does not ask again after a crash, so that the intent is on disk before the
first step is taken, and what was interrupted is finished later.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from rexray import faults, mounts
from rexray.errors import InUse, RexrayError
from rexray.locks import Locks
from rexray.names import check_name, check_volume_name, file_key
from rexray.registry import registry
from rexray.state import Record, Records
from rexray.types import SHELL_HOLDER, MountRequest

log = logging.getLogger(__name__)

LOCK_SECONDS = 100.0
"""How long a request waits for another one on the same volume: less than Docker waits for an answer."""

ADOPTED = "adopted"
"""The holder of a mount that was found without a record: whoever lets go first ends it."""


class Publisher(Protocol):
    """What mounts a volume for all of its holders. Every method is idempotent."""

    def target(self, record: Record) -> Path:
        """Where the volume is mounted when it is: where it was mounted, if the record says."""

    def is_published(self, record: Record) -> bool:
        """Whether something is mounted there, whatever the record says."""

    def adoptable(self) -> Iterator[Record]:
        """The volumes that are mounted and are provably this publisher's."""

    def is_attached_here(self, record: Record) -> bool:
        """Whether the volume is attached to this host already."""

    def publish(self, record: Record, request: MountRequest) -> Path:
        """Attach and mount; what was done is undone when a step fails."""

    def thaw(self, record: Record) -> None:
        """End what an interrupted snapshot may have left of a mounted volume: a filesystem that takes no writes."""

    def unpublish(self, record: Record) -> bool:
        """Unmount and detach; False if it could not be detached yet, for something else on this host uses it."""


class Holding:
    """The mounts of one volume driver and their holders."""

    def __init__(self, driver: str, publisher: Publisher, records: Records, locks: Locks) -> None:
        self._driver = driver
        self._publisher = publisher
        self._records = records
        self._locks = locks

    @contextlib.contextmanager
    def lock(self, name: str, operation: str) -> Iterator[None]:
        """The volume's lock; ``Busy`` says which operation has it. Observers are told of an operation that fails."""
        try:
            with self._locks.hold(file_key(name), owner=f"{operation} of {name!r}", timeout=LOCK_SECONDS):
                yield
        except RexrayError as error:
            event = {"operation": operation.lower(), "name": name, "error": error}
            registry().tell("rexray_operation_failed", driver=self._driver, **event)
            raise

    def mount(self, request: MountRequest, find: Callable[[], Record]) -> Path:
        """Mount for the holder; ``find`` gives the volume's record, or makes one, or raises ``NotFound``."""
        name = check_volume_name(request.name)
        check_name(request.holder, "holder id")
        with self.lock(name, "Mount"):
            record = find()
            if record.holders and self._publisher.is_published(record):
                _refuse_other_access(record, request)
            else:
                record = self._publish(record, request)
            if request.holder not in record.holders:
                faults.point("mount-published")
                self._hold(record, request.holder)
        target = self._publisher.target(record)
        registry().tell("rexray_volume_mounted", driver=self._driver, name=name, holder=request.holder, path=target)
        return target

    def unmount(self, name: str, holder: str | None) -> None:
        """Let the holder go, or all of them; the last one unmounts."""
        with self.lock(check_volume_name(name), "Unmount"):
            record = self._records.load(name)
            if record is None or not record.published:
                return
            left = tuple(other for other in record.holders if other not in (holder, ADOPTED)) if holder else ()
            if left:
                self._records.save(record.published_as(*left))
            else:
                self._records.save(record.published_as())
                faults.point("unmount-noted")
                self._unpublish(record)
        registry().tell("rexray_volume_unmounted", driver=self._driver, name=name, holder=holder or ADOPTED)

    def mounted_at(self, name: str) -> Path | None:
        """Where the volume is mounted for its holders."""
        record = self._records.load(check_volume_name(name))
        if record is not None and record.published and self._publisher.is_published(record):
            return self._publisher.target(record)
        return None

    def unmount_all(self) -> Iterator[str]:
        """Unmount every volume, whoever holds it; the name of each as it is done.

        One that cannot be unmounted does not keep the others; ``InUse`` names them in the end.
        """
        failures = []
        for name in self.held():
            try:
                self.unmount(name, None)
            except RexrayError as error:
                failures.append(f"{name}: {error}")
            else:
                yield name
        if failures:
            raise InUse(f"{len(failures)} still mounted: {'; '.join(failures)}")

    def held(self) -> list[str]:
        """The names of the volumes that are mounted, or whose mounting or unmounting was interrupted."""
        return [record.name for record in self._records.all().values() if record.published]

    @contextlib.contextmanager
    def removal(self, record: Record) -> Iterator[None]:
        """Around a volume's deletion, under its lock: it is unmounted before, and mounted again if that fails.

        Holders that no mount namespace bears out are forgotten: Docker loses an Unmount now and then.
        """
        was_mounted = bool(record.holders) or self._publisher.is_published(record)
        if record.published or was_mounted:
            self._refuse_if_used(record)
            self._unpublish(record)
        try:
            yield
        except RexrayError:
            if was_mounted:
                self._publish_again(record)
            raise
        faults.point("removed")
        self._records.forget(record.name)

    def recover(self) -> Iterator[str]:
        """Put right what a crash or a reboot left, and say what was done, a line each.

        Interrupted operations are finished; held volumes are mounted again if their mount is gone; mounts without
        a record are adopted.
        """
        for name in self.held():
            yield from self._under_lock(name, self._recover)
        for found in self._publisher.adoptable():
            yield from self._under_lock(found.name, functools.partial(self._adopt, found))

    def _under_lock(self, name: str, step: Callable[[str], Iterator[str]]) -> Iterator[str]:
        """A step of recovery, beside requests that may have changed everything meanwhile; its failure is a line too."""
        try:
            with self.lock(name, "Recovery"):
                yield from step(name)
        except RexrayError as error:
            yield f"{name}: not recovered: {error}"

    def _adopt(self, found: Record, name: str) -> Iterator[str]:
        known = self._records.load(name)
        if (known is None or not known.published) and self._publisher.is_published(found):
            self._records.save((known or found).published_as(ADOPTED))
            yield f"{name}: mount without a record, adopted"

    def _recover(self, name: str) -> Iterator[str]:
        record = self._records.load(name)
        if record is None or not record.published:
            return
        if not record.holders:
            self._unpublish(record)
            yield f"{record.name}: interrupted operation or reboot, unmounted"
        elif not self._publisher.is_published(record):
            self._publisher.publish(record, record.request(record.holders[0]))
            yield f"{record.name}: mounted again for {count(record.holders)}"
        else:
            self._publisher.thaw(record)
            yield f"{record.name}: mounted for {count(record.holders)}"

    def _publish(self, record: Record, request: MountRequest) -> Record:
        """Mount the volume, with a note of it on disk before the first step; the record as it is then."""
        attached = record.attached_before if record.published else self._publisher.is_attached_here(record)
        fresh = replace(record, target="") if not self._publisher.is_published(record) else record
        target = self._publisher.target(fresh)
        prepared = record.prepared_for(request, target=target, attached_before=attached)
        prepared = prepared.published_as(*record.holders)
        self._records.save(prepared)
        faults.point("mount-noted")
        try:
            self._publisher.publish(prepared, request)
        except RexrayError:
            self._settle_if_undone(prepared)
            raise
        return prepared

    def _hold(self, record: Record, holder: str) -> None:
        """Note one more holder; a mount of which nobody could be noted as the holder is undone."""
        try:
            self._records.save(record.published_as(*record.holders, holder))
        except RexrayError:
            if not record.holders:
                self._unpublish(record)
            raise

    def _publish_again(self, record: Record) -> None:
        """Put back the mount of a volume that could not be deleted."""
        held = record.published_as(*(record.holders or (ADOPTED,)))
        self._records.save(held)
        try:
            self._publisher.publish(held, held.request(held.holders[0]))
        except RexrayError as error:
            log.error("volume %r could not be mounted again: %s", record.name, error)

    def _unpublish(self, record: Record) -> None:
        """Unmount and tidy the record, which stays ``published`` if not all is done: a later call tries again."""
        if self._publisher.unpublish(record):
            self.settle(record)
        else:
            self._records.save(record.published_as())

    def _settle_if_undone(self, record: Record) -> None:
        """After a failed mount, whose undoing may have failed as well: then the record stays ``published``."""
        with contextlib.suppress(RexrayError):
            if self._publisher.is_published(record):
                return
            if record.attached_before or not self._publisher.is_attached_here(record):
                self.settle(record)

    def settle(self, record: Record) -> None:
        """Note that the volume is mounted nowhere; a record that says no more than its name is dropped."""
        if record.volume_id != record.name or record.context:
            self._records.save(record.unpublished())
        else:
            self._records.forget(record.name)

    def _refuse_if_used(self, record: Record) -> None:
        """Only a holder of Docker's can have been lost; a shell lets go by itself, and until then means it."""
        if SHELL_HOLDER in record.holders:
            raise InUse(f"volume {record.name!r} is mounted by 'rexray volume mount': unmount it first")
        target = self._publisher.target(record)
        user = mounts.holders_elsewhere(target) if self._publisher.is_published(record) else None
        if user:
            raise InUse(f"volume {record.name!r} is mounted at {target} and used by {user}: stop that first")


def _refuse_other_access(record: Record, request: MountRequest) -> None:
    """A holder that wants to write does not get a read-only mount, nor one that must not a writable one.

    Nobody's filesystem is overwritten while somebody holds it.
    """
    if request.overwrite_fs:
        raise InUse(f"volume {record.name!r} is mounted for {count(record.holders)}: its filesystem is not overwritten")
    if record.read_only != request.read_only:
        how = "read-only" if record.read_only else "for writing"
        raise InUse(f"volume {record.name!r} is mounted {how} for {count(record.holders)}: unmount it first")


def count(holders: tuple[str, ...]) -> str:
    """How many holders, in words."""
    return f"{len(holders)} holder{'s' if len(holders) != 1 else ''}"
