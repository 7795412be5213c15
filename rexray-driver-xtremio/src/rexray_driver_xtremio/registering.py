"""The array's knowledge of hosts: an initiator group and an initiator for each, made when they are missing.

Facts: volumes are mapped to initiator groups, so that every host of a group can read and write them; an initiator is in
exactly one group (goxtremio; OpenStack Cinder's driver for XtremIO).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rexray import faults
from rexray.errors import AlreadyExists, NotFound, NotReady, RexrayError, Unavailable
from rexray.http import NoAnswer
from rexray.types import InstanceId
from rexray_driver_xtremio import things
from rexray_driver_xtremio.base import XtremIoCalls
from rexray_driver_xtremio.initiator import NAME
from rexray_driver_xtremio.things import Content, Initiator, Ref


class HostCalls(XtremIoCalls):
    """Where a host's volumes are mapped to."""

    def _groups_of(self, instance_id: InstanceId, initiators: Collection[Initiator]) -> list[Ref]:
        """The host's initiator groups; ``NotReady`` if one is not its alone.

        None if the array does not know the host; several if it has its address in several spellings.
        """
        mine = [initiator.group for initiator in initiators if initiator.is_at(instance_id)]
        for group in mine:
            _refuse_shared(group, instance_id, initiators)
        return mine

    def _registered(self, instance_id: InstanceId) -> Ref:
        """The group of a host that the array did not know: one group and one initiator, whoever else makes them too.

        ``NotFound`` for what cannot be a host.
        """
        if NAME.fullmatch(instance_id) is None:
            raise NotFound(
                f"instance {instance_id!r} does not exist: it is no initiator's name such as iqn.1993-08.org:abc"
            )
        name = self._settings.initiator_group or instance_id
        with self._held(f"host {name}", why=f"registering host {instance_id}"):
            return self._register(instance_id, name)

    def _register(self, instance_id: InstanceId, name: str) -> Ref:
        tries = self._tries()
        mine: int | None = None
        while True:
            initiators = self._initiators()
            if any(initiator.is_at(instance_id) for initiator in initiators):
                return self._joined(instance_id, initiators, mine)
            stranger = next((found for found in initiators if found.ref.name == instance_id), None)
            if stranger is not None:
                raise AlreadyExists(f"initiator {instance_id!r} exists with the address {stranger.address!r}")
            try:
                group = self._group_named(name)
                others = [found for found in initiators if found.group.name == name]
                _refuse_shared(Ref(others[0].group.guid if others else "", name, group), instance_id, others)
                faults.point("xtremio-initiator-asking")
                mine = self._xms.post("initiators", self._initiator(instance_id, name, group))[0]
            except NotReady:
                raise
            except RexrayError as error:
                tries.after(error, AlreadyExists, NoAnswer, NotFound)
            else:
                tries.after(Unavailable(f"initiator {instance_id!r} was made and is not to be found"), Unavailable)
            faults.point("xtremio-initiator-asked")

    def _joined(self, instance_id: InstanceId, initiators: list[Initiator], mine: int | None) -> Ref:
        """The group of an initiator that is there now. One that got into a group together with another is taken out."""
        me = next(initiator for initiator in initiators if initiator.is_at(instance_id))
        try:
            _refuse_shared(me.group, instance_id, initiators)
        except NotReady:
            if mine == me.ref.index:
                self._withdraw(me)
            raise
        return me.group

    def _withdraw(self, me: Initiator) -> None:
        """Delete an initiator that this call made; what it is called by is its own address."""
        tries = self._tries()
        while any((found.ref, found.address) == (me.ref, me.address) for found in self._initiators()):
            try:
                self._xms.delete("initiators", me.ref.word)
            except RexrayError as error:
                tries.after(error, NotFound)

    def _group_named(self, name: str) -> int:
        """The index of the group of that name, which is made if it is missing."""
        found = self._xms.get("initiator-groups", name, things.index)
        if found is not None:
            return found
        faults.point("xtremio-group-asking")
        made = self._xms.post("initiator-groups", {"ig-name": name})
        faults.point("xtremio-group-asked")
        return made[0]

    def _initiator(self, instance_id: InstanceId, group: str, index: int) -> Content:
        settings = self._settings
        body: dict[str, object] = {
            "initiator-name": instance_id,
            "port-address": instance_id,
            "ig-id": Ref("", group, index).word,
        }
        if settings.chap_user:
            body["initiator-authentication-user-name"] = settings.chap_user
            body["initiator-authentication-password"] = settings.chap_password.reveal()
        return body


def _refuse_shared(group: Ref, instance_id: InstanceId, initiators: Iterable[Initiator]) -> None:
    """A volume that is mapped to a group can be written to by all of it."""
    others = sorted(
        initiator.address
        for initiator in initiators
        if initiator.group.guid == group.guid and not initiator.is_at(instance_id)
    )
    if others:
        raise NotReady(
            f"initiator group {group.name!r} of {instance_id!r} also has {', '.join(others)}, which would get its "
            "volumes too: give each host a group of its own"
        )
