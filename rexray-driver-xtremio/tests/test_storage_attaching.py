"""Hosts and mappings: registered once, mapped once, one host's alone, never another host's to lose."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from rexray.errors import InUse, NotFound, NotReady, OutOfCapacity, RexrayError
from rexray.settings import Sources
from rexray.types import Attachment, AttachmentState, InstanceId
from rexray_driver_xtremio.storage import XtremIoStorage
from xms_parts import Call, Xms
from xtremio_parts import (
    HERE,
    TARGET,
    THERE,
    WIDTH,
    at_once,
    changes,
    driver,
    environ,
    fails,
    hosts,
    maps,
    outcome,
    spec,
    words,
)


@pytest.mark.parametrize("naa_at", ["map", "create"])
@pytest.mark.parametrize("already_mapped", ["vol_already_mapped", "lun_map_already_mapped_x"])
def test_a_volume_is_attached_once_to_a_host_that_is_registered_once(
    each_xms: Xms, naa_at: str, already_mapped: str
) -> None:
    each_xms.switches.naa_at, each_xms.switches.already_mapped = naa_at, already_mapped  # type: ignore[assignment]
    storage = driver(each_xms)
    made = storage.create(spec("data", 1))
    attachment = storage.attach(made.id, HERE)
    assert storage.attach(made.id, HERE) == attachment
    assert storage.attachments(made.id) == storage.attachments(made.id, HERE) == (attachment,)
    assert storage.attachments(made.id, THERE) == ()
    assert hosts(each_xms) == [(HERE, HERE)]
    assert maps(each_xms) == [("data", HERE)]
    assert changes(each_xms) == ["POST volumes", "POST initiator-groups", "POST initiators", "POST lun-maps"]
    assert [instance.id for instance in storage.instances()] == [HERE]


def test_an_attachment_has_what_a_node_needs_and_no_secret(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    attachment = storage.attach(made.id, HERE)
    content = xms.volume("data")
    assert content is not None
    [entry] = xms.cluster().maps
    assert 1 <= entry.lun <= 255
    assert attachment == Attachment(
        volume_id=made.id,
        instance_id=HERE,
        token=content["naa-name"],
        fields={
            "lun": str(entry.lun),
            "portals": "10.205.68.5:3260,10.205.68.6:3260",
            "targets": f"{TARGET},{TARGET}",
            "sizeBytes": str(1 << 30),
        },
    )
    assert len(attachment.token) == 16
    assert storage.volume(made.id).network_name == attachment.token
    assert storage.volume(made.id).attachments == (attachment,)


def test_portals_have_their_ports_and_ipv6_has_brackets(xms: Xms, storage: XtremIoStorage) -> None:
    xms.add_portal("fd00::5", 3261, iqn=TARGET)
    attachment = storage.attach(storage.create(spec("data", 1)).id, HERE)
    assert attachment.fields["portals"].endswith(",[fd00::5]:3261")


@pytest.mark.parametrize("wrong", ["", "host1", "21:00:00:24:ff:57:6a:3c", "iqn.", "iqn.a b", "iqn." + "x" * 230])
def test_what_is_no_initiator_is_not_registered(xms: Xms, storage: XtremIoStorage, wrong: str) -> None:
    made = storage.create(spec("data", 1))
    fails(NotFound, "no initiator's name", lambda: storage.attach(made.id, InstanceId(wrong)))
    storage.detach(made.id, InstanceId(wrong))
    assert (hosts(xms), maps(xms)) == ([], [])


def test_a_host_that_the_array_knows_is_used_as_it_is(each_xms: Xms) -> None:
    """Its names are an administrator's, its address is written in capitals."""
    storage = driver(each_xms)
    each_xms.add_initiator_group("host 1")
    each_xms.add_initiator("port 1", HERE.upper(), "host 1")
    made = storage.create(spec("data", 1))
    attachment = storage.attach(made.id, HERE)
    assert attachment.instance_id == HERE
    assert storage.attach(made.id, HERE) == attachment
    assert maps(each_xms) == [("data", "host 1")]
    assert [volume.id for volume in storage.attached(HERE)] == [made.id]
    storage.detach(made.id, HERE)
    assert maps(each_xms) == []


def test_the_group_is_called_as_is_configured_and_has_chap(xms: Xms) -> None:
    chap = {"XTREMIO_CHAPUSER": "me", "XTREMIO_CHAPPASSWORD": "secret-of-chap"}
    storage = driver(xms, XTREMIO_INITIATORGROUP="shop", **chap)
    storage.attach(storage.create(spec("data", 1)).id, HERE)
    assert hosts(xms) == [(HERE, "shop")]
    [initiator] = xms.cluster().initiators
    assert initiator.users["authentication"] == "me"
    assert initiator.passwords["authentication"] == "secret-of-chap"


def test_a_group_that_also_has_another_host_is_refused_by_name(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 1))
    each_xms.add_initiator_group("shared")
    each_xms.add_initiator(HERE, HERE, "shared")
    each_xms.add_initiator(THERE, THERE, "shared")
    for force in (False, True):
        fails(NotReady, f"'shared'.*{THERE}", partial(storage.attach, made.id, HERE, force=force))
    assert maps(each_xms) == []


def test_a_host_is_not_put_into_another_ones_group(xms: Xms) -> None:
    storage = driver(xms, XTREMIO_INITIATORGROUP="shop")
    first, second = storage.create(spec("first", 1)), storage.create(spec("second", 1))
    storage.attach(first.id, HERE)
    xms.clear_calls()
    fails(NotReady, f"'shop'.*{HERE}", lambda: storage.attach(second.id, THERE))
    assert hosts(xms) == [(HERE, "shop")]
    assert changes(xms) == []


def test_of_two_hosts_that_get_into_one_group_at_once_none_keeps_the_others_volumes(xms: Xms) -> None:
    """The other one comes between the look and the registration."""

    def intrude(call: Call) -> None:
        if words(call) == "POST initiator-groups":
            xms.add_initiator(THERE, THERE, "shop")

    storage = driver(xms, XTREMIO_INITIATORGROUP="shop")
    made = storage.create(spec("data", 1))
    xms.on_call.append(intrude)
    fails(NotReady, f"'shop'.*{THERE}", lambda: storage.attach(made.id, HERE))
    assert hosts(xms) == [(THERE, "shop")]
    assert maps(xms) == []


def test_a_volume_that_another_host_has_is_not_taken_without_force(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 1))
    storage.attach(made.id, THERE)
    fails(InUse, f"attached to {THERE}.*{HERE}", lambda: storage.attach(made.id, HERE))
    assert hosts(each_xms) == [(THERE, THERE)]
    attachment = storage.attach(made.id, HERE, force=True)
    assert storage.attachments(made.id) == (attachment,)
    assert maps(each_xms) == [("data", HERE)]


def test_force_takes_from_all_that_have_it(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    for number in range(3):
        _map(xms, "data", f"iqn.2020-01.org:{number}")
    holders = "iqn.2020-01.org:0, iqn.2020-01.org:1, iqn.2020-01.org:2"
    fails(InUse, holders, lambda: storage.attach(made.id, HERE))
    storage.attach(made.id, HERE, force=True)
    assert maps(xms) == [("data", HERE)]


def test_detaching_leaves_other_hosts_what_they_have(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made, other = storage.create(spec("data", 1)), storage.create(spec("other", 1))
    storage.attach(made.id, HERE)
    storage.attach(other.id, HERE)
    _map(each_xms, "data", THERE)
    for _ in range(2):
        storage.detach(made.id, HERE)
        storage.detach(made.id, InstanceId("iqn.2020-01.org:nobody"))
        assert maps(each_xms) == [("data", THERE), ("other", HERE)]
    for _ in range(2):
        storage.detach(made.id)
        assert maps(each_xms) == [("other", HERE)]


def test_a_shared_groups_mapping_is_not_deleted_for_one_of_them(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    _map(xms, "data", HERE, "shared")
    xms.add_initiator(THERE, THERE, "shared")
    fails(NotReady, f"'shared'.*{HERE}, {THERE}", lambda: storage.detach(made.id, HERE))
    assert {attachment.instance_id for attachment in storage.attachments(made.id)} == {HERE, THERE}
    storage.detach(made.id)
    assert maps(xms) == []


def test_a_group_without_hosts_holds_a_volume_by_its_name(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    _map(xms, "data", "", "left over")
    fails(InUse, "left over", lambda: storage.remove(made.id))
    fails(InUse, "left over", lambda: storage.attach(made.id, HERE))
    storage.detach(made.id, InstanceId("left over"))
    assert maps(xms) == []


def test_a_volume_says_how_it_stands_to_this_host(xms: Xms) -> None:
    more = environ(xms, XTREMIO_INITIATOR=HERE, REXRAY_REMOTEMANAGEMENT="false")
    storage = XtremIoStorage.make(Sources(environ=more))
    mine, other, free = (storage.create(spec(name, 1)) for name in ("mine", "other", "free"))
    storage.attach(mine.id, HERE)
    storage.attach(other.id, THERE)
    assert {volume.name: volume.state for volume in storage.volumes()} == {
        "mine": AttachmentState.ATTACHED,
        "other": AttachmentState.UNAVAILABLE,
        "free": AttachmentState.AVAILABLE,
    }
    assert [volume.name for volume in storage.attached(HERE)] == ["mine"]
    assert storage.volume(free.id).attachments == ()


def test_a_host_that_maps_the_volume_meanwhile_wins_if_it_does_not_give_way(xms: Xms, storage: XtremIoStorage) -> None:
    """Whatever its group's index is: it may have looked before this mapped it, and use it."""
    made = storage.create(spec("data", 1))
    for name in (THERE, HERE):
        xms.add_initiator_group(name)
        xms.add_initiator(name, name, name)

    for mine, other in ((HERE, THERE), (THERE, HERE)):

        def intrude(call: Call, other: str = other) -> None:
            if words(call) == "POST lun-maps" and call.status == 201 and len(maps(xms)) == 1:
                _map(xms, "data", other)

        xms.on_call.append(intrude)
        fails(InUse, f"attached to {other}", partial(storage.attach, made.id, mine))
        xms.on_call.clear()
        assert maps(xms) == [("data", other)]
        storage.detach(made.id)


def test_of_two_that_mapped_it_one_wins_when_the_other_gives_way(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    for name in (HERE, THERE):
        xms.add_initiator_group(name)
        xms.add_initiator(name, name, name)
    looks: list[Call] = []

    def intrude(call: Call) -> None:
        if words(call) == "POST lun-maps" and call.status == 201:
            _map(xms, "data", THERE)
        if words(call) == "GET volumes" and len(maps(xms)) == 2:
            looks.append(call)
            if len(looks) == 3:
                _unmap(xms, "data", THERE)

    xms.on_call.append(intrude)
    attachment = storage.attach(made.id, HERE)
    assert storage.attachments(made.id) == (attachment,)
    assert len(looks) == 3


@pytest.mark.parametrize("shared", [True, False])
def test_many_hosts_that_attach_at_once_end_with_one_at_most(xms: Xms, shared: bool) -> None:
    """Each is a process of its own if it has a driver of its own."""
    common = driver(xms)
    made = common.create(spec("data", 1))
    names = [InstanceId(f"iqn.2020-01.org:{number}") for number in range(12)]
    gate = threading.Barrier(len(names))

    def attach(name: InstanceId) -> Attachment | RexrayError:
        mine = common if shared else driver(xms)
        gate.wait(30)
        return outcome(lambda: mine.attach(made.id, name))

    results = at_once(attach, names)
    won = [result for result in results if isinstance(result, Attachment)]
    assert all(isinstance(result, Attachment | InUse) for result in results), results
    assert len(won) <= 1
    assert maps(xms) == [("data", attachment.instance_id) for attachment in won]
    if shared:
        assert won


@pytest.mark.parametrize("shared", [True, False])
def test_many_threads_register_a_host_once_and_lose_no_mapping(xms: Xms, shared: bool) -> None:
    common = driver(xms)
    made = at_once(lambda number: common.create(spec(f"data{number}", 1)), range(WIDTH))
    xms.clear_calls()
    gate = threading.Barrier(WIDTH)

    def attach(number: int) -> Attachment:
        mine = common if shared else driver(xms)
        gate.wait(30)
        return mine.attach(made[number].id, HERE)

    attachments = at_once(attach, range(WIDTH))
    assert hosts(xms) == [(HERE, HERE)]
    assert maps(xms) == sorted((volume.name, HERE) for volume in made)
    assert len({attachment.fields["lun"] for attachment in attachments}) == WIDTH
    assert [attachment.volume_id for attachment in attachments] == [volume.id for volume in made]
    at_once(lambda volume: common.detach(volume.id, HERE), made)
    assert maps(xms) == []


def _map(xms: Xms, volume: str, address: str, group: str = "") -> None:
    """Another host does it, which nobody asked."""
    name = group or address
    home = xms.cluster()
    with xms.store.lock:
        if home.igs.named(name) is None:
            xms.add_initiator_group(name)
        if address and all(entry.address != address for entry in home.initiators):
            xms.add_initiator(address, address, name)
        found, ig = home.volumes.named(volume), home.igs.named(name)
        assert found is not None
        assert ig is not None
        xms.store.map(home, found, ig, home.next_lun(ig))


def _unmap(xms: Xms, volume: str, group: str) -> None:
    home = xms.cluster()
    with xms.store.lock:
        [entry] = [entry for entry in home.maps if (entry.volume.name, entry.group.name) == (volume, group)]
        xms.store.unmap(home, entry)


def test_a_host_gets_no_more_volumes_than_the_settings_allow(xms: Xms) -> None:
    storage = driver(xms, XTREMIO_MAXVOLUMES="1")
    one, two = storage.create(spec("one", 1)), storage.create(spec("two", 1))
    storage.attach(one.id, HERE)
    storage.attach(one.id, HERE)
    assert [instance.max_volumes for instance in storage.instances()] == [1]
    with pytest.raises(OutOfCapacity, match=r"xtremio\.maxVolumes is 1"):
        storage.attach(two.id, HERE)
    assert maps(xms) == [("one", HERE)]
    storage.detach(one.id, HERE)
    storage.attach(two.id, HERE)
