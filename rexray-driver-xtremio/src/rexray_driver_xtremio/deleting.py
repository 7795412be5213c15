"""Renaming and deleting volumes and snapshots: exactly the one that is meant, however late a request takes effect.

Facts: PUT with ``vol-name``, in v2 with ``name``, renames; DELETE takes an index or a name, no guid (goxtremio;
OpenStack Cinder's driver for XtremIO).

An index and a name can be those of something else by the time that a DELETE is carried out, even after its sender gave
up. So what is to be deleted first gets a name that nothing else ever has, made of its guid; only a DELETE of that name
is sent. Who repeats a call after a kill finds the volume by its guid, and goes on.
"""

from __future__ import annotations

import logging

from rexray import faults
from rexray.errors import Busy, InUse, InvalidRequest, NotFound, RexrayError
from rexray.http import NoAnswer
from rexray_driver_xtremio.base import XtremIoCalls
from rexray_driver_xtremio.names import gone_name
from rexray_driver_xtremio.refusals import MALFORMED, said
from rexray_driver_xtremio.things import Disk
from rexray_driver_xtremio.trying import TRIES

log = logging.getLogger(__name__)


class DeleteCalls(XtremIoCalls):
    """What removing volumes, snapshots and copies that are in the way have in common."""

    def _delete(self, guid: str, what: str, *, snapshot: bool) -> None:
        """Delete exactly that volume or snapshot, if it is attached nowhere; a missing one is success.

        ``NoAnswer`` if it may still be deleted. If the array refuses, it gets its name back.
        """
        names: list[str] = []
        try:
            self._delete_named(guid, what, snapshot=snapshot, names=names)
        except NoAnswer:
            raise  # who may still be deleted keeps the name by which it can be told
        except RexrayError as error:
            refusal = self._undeletable(guid, what, error, gone_name(guid, snapshot=snapshot))
            if names:
                self._name_back(guid, names[0])
            raise refusal from error.__cause__

    def _delete_named(self, guid: str, what: str, *, snapshot: bool, names: list[str]) -> None:
        """Give it a name of its own, and delete what has it; ``names`` gets the name that it had."""
        tries = self._tries()
        unsure: NoAnswer | None = None
        while (disk := self._disk(guid)) is not None:
            if disk.is_snapshot != snapshot:
                kind = "snapshot" if disk.is_snapshot else "volume"
                raise InvalidRequest(f"{what}: that is the id of a {kind}, and nothing was done")
            if unsure is not None:
                raise NoAnswer(f"{unsure}: {what} may still be deleted: do not attach it, and remove it again")
            self._refuse_mapped(disk, what)
            gone = gone_name(guid, snapshot=snapshot)
            try:
                if disk.ref.name != gone:
                    if len(names) == TRIES:
                        raise Busy(f"{what} is not called {gone!r} however often it is renamed: try again later")
                    names.append(disk.ref.name)
                    faults.point("xtremio-gone-asking")
                    self._rename(disk, gone)
                    faults.point("xtremio-gone-asked")
                    continue  # only what is seen to have the name, by its guid, is deleted by it
                faults.point("xtremio-delete-asking")
                self._xms.delete("volumes", gone)
            except NoAnswer as error:
                if disk.ref.name == gone:
                    unsure = error
                else:
                    tries.after(error, NoAnswer)
            except RexrayError as error:
                tries.after(error, NotFound)
            else:
                return

    def _undeletable(self, guid: str, what: str, error: RexrayError, gone: str) -> RexrayError:
        """The array's refusal; with its reason, where a DELETE was refused and what the array tells has one."""
        disk = self._disk(guid) if said(error) else None
        if disk is not None and disk.ref.name == gone:
            try:
                self._refuse_mapped(disk, what)
            except InUse as reason:
                return reason
            if disk.copies:
                names = ", ".join(copy.name for copy in disk.copies)
                return InUse(f"{what} cannot be deleted while it has snapshots or clones ({names}): {error}")
        return error

    def _name_back(self, guid: str, name: str) -> None:
        """What was not deleted gets the name that it had; what is in the way of that is only logged."""
        tries = self._tries()
        while (disk := self._disk(guid)) is not None and disk.ref.name != name:
            try:
                self._rename(disk, name)
            except RexrayError as error:
                if not tries.again(error, NoAnswer, NotFound):
                    log.warning("%s was not deleted and is called %r now: %s", guid, disk.ref.name, error)
                    return

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
