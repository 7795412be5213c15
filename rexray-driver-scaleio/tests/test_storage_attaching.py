"""Volumes of the driver ``scaleio`` are mapped to SDCs and taken from there, by one host or by many at once."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from gateway_parts import Gateway
from gateway_store import Mapping
from rexray.errors import (
    AlreadyExists,
    Busy,
    InUse,
    InvalidRequest,
    NotFound,
    NotReady,
    OutOfCapacity,
    Unavailable,
    Unsupported,
)
from rexray.types import AttachmentState, InstanceId, Volume, VolumeId
from rexray_driver_scaleio.storage import ScaleIoStorage
from scaleio_parts import (
    GIB,
    NO_SDC,
    NO_VOLUME,
    OTHER,
    WEB,
    done,
    holders,
    read,
    refused,
    spec,
    storage,
    together,
    write,
)


@pytest.fixture
def volume(driver: ScaleIoStorage) -> Volume:
    return driver.create(spec("data", 16))


def sdc_id(gateway: Gateway, guid: str) -> str:
    return next(it.id for it in gateway.store.sdcs.values() if it.guid == guid)


def share(gateway: Gateway, volume_id: str, *guids: str, mode: str = "ReadWrite") -> None:
    """Map the volume to several SDCs, as other tools may."""
    for guid in guids:
        host, volume = gateway.store.sdcs[sdc_id(gateway, guid)], gateway.store.volumes[volume_id]
        volume.mappings[host.id] = Mapping(mode)
        host.volumes[volume_id] = volume


def replace_sdc(gateway: Gateway, guid: str) -> str:
    """The host's SDC goes and comes again, by another id."""
    with gateway.store.lock:
        del gateway.store.sdcs[sdc_id(gateway, guid)]
    return gateway.add_sdc(guid)


def test_an_attachment_tells_a_node_what_it_needs(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    made = driver.attach(volume.id, WEB)
    assert (made.volume_id, made.instance_id, made.token, made.read_only) == (volume.id, WEB, volume.id, False)
    assert made.fields == {"systemId": gateway.system_id, "sizeBytes": str(16 * GIB)}
    assert holders(gateway, volume.id) == [WEB]
    seen = driver.volume(volume.id)
    assert (seen.attachments, seen.status, seen.state) == ((made,), "in use", AttachmentState.UNAVAILABLE)
    assert driver.attachments(volume.id) == driver.attachments(volume.id, WEB) == (made,)
    assert driver.attachments(volume.id, OTHER) == driver.attachments(volume.id, NO_SDC) == ()


@pytest.mark.parametrize("word", [WEB, WEB.lower(), "id"])
def test_a_host_is_known_by_guid_in_any_case_and_by_id(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume, word: str
) -> None:
    instance = InstanceId(sdc_id(gateway, WEB) if word == "id" else word)
    assert driver.attach(volume.id, instance).instance_id == WEB
    assert len(driver.attachments(volume.id, instance)) == 1
    driver.detach(volume.id, instance)
    assert holders(gateway, volume.id) == []


def test_attaching_twice_is_attaching_once(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    made = driver.attach(volume.id, WEB)
    assert driver.attach(volume.id, WEB) == made
    assert driver.attach(volume.id, WEB, force=True) == made
    assert storage(gateway).attach(volume.id, WEB) == made
    assert together(16, lambda _: driver.attach(volume.id, WEB), range(16)) == [made] * 16


def test_a_volume_of_another_host_is_in_use_and_force_takes_it(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    driver.attach(volume.id, WEB)
    refused(InUse, f"'{volume.id}' is attached to web, not to '{OTHER}'", lambda: driver.attach(volume.id, OTHER))
    assert holders(gateway, volume.id) == [WEB]
    assert driver.attach(volume.id, OTHER, force=True).instance_id == OTHER
    assert holders(gateway, volume.id) == [OTHER]


def test_a_volume_is_never_of_two_hosts_whoever_asks_at_once(gateway: Gateway, volume: Volume) -> None:
    guids = [InstanceId(f"F1E7B4A2-0000-4000-8000-0000000001{number:02}") for number in range(16)]
    for guid in guids:
        gateway.add_sdc(guid)
    most: list[int] = []
    gateway.on_map.append(lambda *_: most.append(len(holders(gateway, volume.id))))

    def attach(guid: InstanceId) -> InstanceId | None:
        try:
            return storage(gateway).attach(volume.id, guid).instance_id
        except InUse:
            return None

    got = [guid for guid in together(16, attach, guids) if guid]
    assert holders(gateway, volume.id) == got
    assert most == [1]


def test_force_of_two_hosts_at_once_leaves_one_of_them(gateway: Gateway, volume: Volume) -> None:
    most: list[int] = []
    gateway.on_map.append(lambda *_: most.append(len(holders(gateway, volume.id))))

    def attach(guid: InstanceId) -> bool:
        try:
            return storage(gateway).attach(volume.id, guid, force=True).instance_id == guid
        except Busy:
            return False

    for _ in range(10):
        won = together(2, attach, [WEB, OTHER])
        assert any(won)
        assert len(holders(gateway, volume.id)) == 1
    assert max(most) == 1


def test_force_takes_a_volume_from_all_who_have_it(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    share(gateway, volume.id, WEB, OTHER)
    refused(InUse, "not to .* alone", lambda: driver.attach(volume.id, WEB))
    assert holders(gateway, volume.id) == sorted([WEB, OTHER])
    driver.attach(volume.id, WEB, force=True)
    assert holders(gateway, volume.id) == [WEB]


def test_a_volume_of_every_host_is_in_use_and_force_takes_it(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    gateway.store.volumes[volume.id].to_all = "ReadWrite"
    refused(InUse, "attached to every SDC", lambda: driver.attach(volume.id, WEB))
    refused(InUse, "every SDC.*cannot be detached from one", lambda: driver.detach(volume.id, WEB))
    assert gateway.store.volumes[volume.id].to_all == "ReadWrite"
    driver.attach(volume.id, WEB, force=True)
    assert (gateway.store.volumes[volume.id].to_all, holders(gateway, volume.id)) == (None, [WEB])
    driver.detach(volume.id)
    gateway.store.volumes[volume.id].to_all = "ReadWrite"
    driver.detach(volume.id)
    assert gateway.store.volumes[volume.id].to_all is None


def test_force_for_a_host_that_may_not_have_it_takes_it_from_nobody(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    driver.attach(volume.id, WEB)
    driver.attach(driver.create(spec("more")).id, OTHER)
    gateway.set_sdc(sdc_id(gateway, OTHER), approved=False)
    refused(NotReady, r"\(code 322\)", lambda: driver.attach(volume.id, OTHER, force=True))
    gateway.refuse("POST", "addMappedSdc", status=500, code=297, message="Mapped already")  # which may be said first
    refused(NotReady, "not approved.* stays where it is", lambda: driver.attach(volume.id, OTHER, force=True))
    assert holders(gateway, volume.id) == [WEB]
    gateway.set_sdc(sdc_id(gateway, OTHER), approved=True)
    driver.attach(volume.id, OTHER, force=True)
    assert holders(gateway, volume.id) == [OTHER]


def test_a_host_that_is_not_approved_is_said_to_be_so(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    gateway.set_sdc(sdc_id(gateway, WEB), approved=False)
    refused(NotReady, r"\(code 322\): approve that host's SDC", lambda: driver.attach(volume.id, WEB))


def test_a_host_with_too_many_volumes_gets_none(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    gateway.switches.volumes_per_sdc = 1
    driver.attach(driver.create(spec("more")).id, WEB)
    refused(OutOfCapacity, r"\(code 294\)", lambda: driver.attach(volume.id, WEB))
    assert holders(gateway, volume.id) == []


@pytest.mark.parametrize("named", [True, False])
def test_a_detached_volume_is_detached_and_again_is_success(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume, named: bool
) -> None:
    whom = WEB if named else None
    driver.detach(volume.id, whom)
    driver.attach(volume.id, WEB)
    driver.detach(volume.id, whom)
    assert holders(gateway, volume.id) == []
    driver.detach(volume.id, whom)
    assert driver.volume(volume.id).state is AttachmentState.AVAILABLE


def test_detaching_is_from_the_one_who_is_named(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    driver.attach(volume.id, WEB)
    for nobody in (OTHER, NO_SDC, InstanceId(""), InstanceId("00000000000000ff"), InstanceId("nobody")):
        driver.detach(volume.id, nobody)
    driver.detach(NO_VOLUME, WEB)
    driver.detach(VolumeId("data"))
    driver.detach(VolumeId(f"{volume.id}/../{volume.id}"))
    assert holders(gateway, volume.id) == [WEB]


def test_no_host_is_none_and_not_one_without_a_name(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    for nobody in ("", "nobody", NO_SDC):
        refused(NotFound, f"instance '{nobody}' does not exist", partial(driver.attach, volume.id, InstanceId(nobody)))
    refused(NotFound, f"volume '{NO_VOLUME}' does not exist", lambda: driver.attach(NO_VOLUME, WEB))
    assert holders(gateway, volume.id) == []


def test_a_hosts_name_and_address_are_not_the_host(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    for word in ("web", "10.0.0.11"):
        refused(NotFound, f"instance '{word}' does not exist", partial(driver.attach, volume.id, InstanceId(word)))
    driver.attach(volume.id, WEB)
    driver.detach(volume.id, InstanceId("web"))
    assert driver.attachments(volume.id, InstanceId("web")) == ()
    assert holders(gateway, volume.id) == [WEB]


def test_a_guid_is_its_own_hosts_and_not_one_that_bears_it_as_a_name(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    gateway.store.sdcs[sdc_id(gateway, WEB)].name = OTHER
    driver.attach(volume.id, OTHER)
    assert holders(gateway, volume.id) == [OTHER]


def test_a_host_that_comes_back_as_another_sdc_is_attached_to_and_detached_from(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    driver.attach(volume.id, WEB)
    driver.detach(volume.id, WEB)
    replace_sdc(gateway, WEB)
    assert driver.attach(volume.id, WEB).instance_id == WEB
    assert holders(gateway, volume.id) == [WEB]
    driver.detach(volume.id, WEB)
    new = replace_sdc(gateway, WEB)
    storage(gateway).attach(volume.id, WEB)
    assert list(gateway.store.volumes[volume.id].mappings) == [new]
    driver.detach(volume.id, WEB)
    assert holders(gateway, volume.id) == []


def test_a_host_that_came_later_is_found(driver: ScaleIoStorage, gateway: Gateway, volume: Volume) -> None:
    driver.attach(volume.id, WEB)
    gateway.add_sdc(NO_SDC)
    assert driver.attach(volume.id, NO_SDC, force=True).instance_id == NO_SDC


def test_a_read_only_attachment_is_one_and_another_mode_is_refused(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    assert driver.attach(volume.id, WEB, read_only=True).read_only
    assert gateway.access(volume.id, sdc_id(gateway, WEB)) == "ReadOnly"
    assert driver.volume(volume.id).attachments[0].read_only
    for force in (False, True):
        refused(AlreadyExists, "as ReadOnly.*ReadWrite", partial(driver.attach, volume.id, WEB, force=force))
    driver.detach(volume.id, WEB)
    driver.attach(volume.id, WEB)
    refused(AlreadyExists, "as ReadWrite.*ReadOnly", lambda: driver.attach(volume.id, WEB, read_only=True))


def test_a_mapping_that_allows_nothing_is_not_an_attachment_that_was_asked_for(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    share(gateway, volume.id, WEB, mode="NoAccess")
    for read_only in (False, True):
        refused(AlreadyExists, "NoAccess", partial(driver.attach, volume.id, WEB, read_only=read_only))


def test_read_only_needs_version_three() -> None:
    with Gateway(version="2.6") as gateway:
        gateway.add_sdc(WEB)
        driver = storage(gateway)
        made = driver.create(spec("data"))
        refused(Unsupported, r"version 3\.0", lambda: driver.attach(made.id, WEB, read_only=True))
        assert holders(gateway, made.id) == []
        assert driver.attach(made.id, WEB) == driver.attach(made.id, WEB)


def test_limits_of_the_settings_are_set_with_each_attachment(gateway: Gateway, volume: Volume) -> None:
    driver = storage(gateway, SCALEIO_IOPSLIMIT="500", SCALEIO_BANDWIDTHLIMIT="20")
    driver.attach(volume.id, WEB)
    mapping = gateway.store.volumes[volume.id].mappings[sdc_id(gateway, WEB)]
    assert (mapping.iops, mapping.megabytes) == (500, 20)
    assert driver.volume(volume.id).iops == 500
    gateway.clear_calls()
    driver.attach(volume.id, WEB)
    assert done(gateway, "setMappedSdcLimits") == 0
    storage(gateway, SCALEIO_IOPSLIMIT="700").attach(volume.id, WEB)
    assert (mapping.iops, mapping.megabytes) == (700, 20)


def test_a_volume_that_goes_while_it_is_attached_is_said_to_be_gone(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    delay = gateway.slow("POST", "addMappedSdc", 0.3)

    def remove_meanwhile() -> None:
        while not delay.used:
            time.sleep(0.005)
        storage(gateway).remove(volume.id)

    other = threading.Thread(target=remove_meanwhile)
    other.start()
    refused(NotFound, f"volume '{volume.id}' does not exist", lambda: driver.attach(volume.id, WEB))
    other.join()


def test_hosts_that_take_turns_by_force_never_write_over_one_another(gateway: Gateway, volume: Volume) -> None:
    """A volume that is taken keeps what was written to it."""
    write(gateway, volume.id, b"precious")
    driver = storage(gateway)
    for guid in (WEB, OTHER, WEB, OTHER):
        driver.attach(volume.id, guid, force=True)
        assert read(gateway, volume.id, 8) == b"precious"


def test_sixteen_hosts_attach_and_detach_one_volume_and_none_takes_what_is_anothers(
    gateway: Gateway, volume: Volume
) -> None:
    guids = [InstanceId(f"F1E7B4A2-0000-4000-8000-0000000001{number:02}") for number in range(8)]
    for guid in guids:
        gateway.add_sdc(guid)
    wrong: list[str] = []

    def live(guid: InstanceId) -> None:
        driver = storage(gateway)
        for _ in range(6):
            try:
                driver.attach(volume.id, guid)
            except (InUse, Busy):
                continue
            if holders(gateway, volume.id) != [guid]:
                wrong.append(guid)
            driver.detach(volume.id, guid)

    together(8, live, guids)
    assert wrong == []
    assert holders(gateway, volume.id) == []


def test_ids_of_another_system_behind_the_gateway_are_left_alone(gateway: Gateway) -> None:
    second = gateway.add_system("system-2")
    pool = gateway.add_pool("pool-x", gateway.add_domain("domain-x", second))
    theirs = VolumeId(gateway.add_volume("theirs", pool=pool))
    host = gateway.add_sdc(NO_SDC, system=second)
    gateway.store.volumes[theirs].mappings[host] = Mapping("ReadWrite")
    driver = storage(gateway, GOSCALEIO_SYSTEMID=gateway.system_id)
    for call in (
        lambda: driver.detach(theirs),
        lambda: driver.detach(theirs, NO_SDC),
        lambda: driver.remove(theirs),
        lambda: driver.volume(theirs),
        lambda: driver.attach(theirs, WEB, force=True),
        lambda: driver.expand(theirs, 64 * GIB),
        lambda: driver.create_snapshot(theirs, "kept"),
        lambda: driver.create(spec("copy", 0, source_volume=theirs)),
    ):
        refused(InvalidRequest, f"'{theirs}' is of another system than {gateway.system_id}", call)
    assert list(gateway.store.volumes[theirs].mappings) == [host]
    assert [raw["id"] for raw in gateway.volumes()] == [theirs]
    assert {call.path.rpartition("/")[2] for call in gateway.calls if call.method == "POST"} <= {"queryIdByKey"}


def test_a_host_gets_no_more_volumes_than_the_settings_allow(gateway: Gateway, volume: Volume) -> None:
    driver = storage(gateway, SCALEIO_MAXVOLUMES="1")
    assert {instance.max_volumes for instance in driver.instances()} == {1}
    other = driver.create(spec("other", 8))
    driver.attach(volume.id, WEB)
    driver.attach(volume.id, WEB)
    refused(OutOfCapacity, "scaleio.maxVolumes is 1", lambda: driver.attach(other.id, WEB))
    assert holders(gateway, other.id) == []
    driver.detach(volume.id, WEB)
    driver.attach(other.id, WEB)


def test_a_gateway_that_hides_its_pools_makes_nobody_believe_that_volumes_are_gone(
    driver: ScaleIoStorage, gateway: Gateway, volume: Volume
) -> None:
    driver.attach(volume.id, WEB)
    fresh = storage(gateway)
    pools = dict(gateway.store.pools)
    gateway.store.pools.clear()
    for action in (lambda: fresh.detach(volume.id, WEB), lambda: fresh.remove(volume.id)):
        refused(Unavailable, "tells nothing of storage pool", action)
    gateway.store.pools.update(pools)
    assert holders(gateway, volume.id) == [WEB]


def test_a_late_unmapping_is_told_and_not_repeated(gateway: Gateway, volume: Volume) -> None:
    driver = storage(gateway, SCALEIO_TIMEOUT="1s")
    driver.attach(volume.id, WEB)
    gateway.slow("POST", "removeMappedSdc", 2.5)
    gateway.clear_calls()
    refused(Unavailable, "did not answer", lambda: driver.detach(volume.id, WEB))
    assert done(gateway, "removeMappedSdc") <= 1
