"""Attaching and detaching: one holder at a time, who is never robbed by mistake."""

from __future__ import annotations

from rexray.errors import Busy, InUse, InvalidRequest, NotFound, OutOfCapacity
from rexray.testing.kit.check import Skipped, expect, expect_equal, expect_raises
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.storage.parts import at_one_moment, facts, gone_volume, names_instance, nobody
from rexray.testing.kit.suites import STORAGE
from rexray.types import Attachment

MANY = 8
"""How many volumes are made at most to see that an instance takes no more of them."""


@STORAGE.check()
def attach_gives_the_volume_to_the_instance(rig: StorageRig) -> None:
    """``attach`` connects the volume to the instance and returns that attachment, with a way to find the device."""
    [host], volume = rig.hosts(1), rig.create()
    made = rig.driver.attach(volume.id, host)
    expect_equal((made.volume_id, made.instance_id), (volume.id, host), "what attach says is attached, and where")
    expect_equal(rig.holders(volume), {host}, "the instances that have the volume afterwards")
    expect(made.token or made.device, "the attachment has neither a token nor a device: no node driver could find it")


@STORAGE.check()
def attach_said_ten_times_is_one_attachment(rig: StorageRig) -> None:
    """``attach`` is idempotent: attached to the instance already is success, and the same attachment."""
    [host], volume = rig.hosts(1), rig.create()
    made = {facts(attachment) for attachment in times(10, lambda: rig.driver.attach(volume.id, host))}
    expect_equal(len(made), 1, "different attachments that ten attaches returned")
    expect_equal(len(rig.driver.attachments(volume.id)), 1, "attachments after ten attaches")


@STORAGE.check()
def attach_elsewhere_names_the_holder_and_changes_nothing(rig: StorageRig) -> None:
    """Attaching a volume that another instance has is ``InUse``; it names the holder, who keeps the volume."""
    (holder, other), volume = rig.hosts(2), rig.create()
    made = rig.driver.attach(volume.id, holder)
    with expect_raises(InUse, what="attaching a volume that another instance has") as caught:
        rig.driver.attach(volume.id, other)
    expect(names_instance(rig, caught.text, holder), f"the error does not name the holder {holder!r}: {caught.text}")
    expect_equal(list(map(facts, rig.driver.attachments(volume.id))), [facts(made)], "the attachments afterwards")


@STORAGE.check()
def attach_by_force_takes_the_volume_from_its_holder(rig: StorageRig) -> None:
    """``force`` takes the volume from the instance that has it, which then does not have it any more, and no other."""
    (holder, other), volume, another = rig.hosts(2), rig.create(), rig.create()
    rig.driver.attach(volume.id, holder)
    kept = rig.driver.attach(another.id, holder)
    made = rig.driver.attach(volume.id, other, force=True)
    expect_equal(made.instance_id, other, "the instance of the attachment that force returned")
    expect_equal(rig.holders(volume), {other}, "the instances that have the volume after it was taken")
    found = [each.id for each in rig.driver.attached(holder)]
    expect(volume.id not in found, f"the volume was taken from {holder!r}, where it is still listed as attached")
    left = list(map(facts, rig.driver.attachments(another.id)))
    expect_equal(left, [facts(kept)], "the attachments of another volume of the instance that it was taken from")


@STORAGE.check()
def attach_by_force_of_a_free_volume_attaches_it(rig: StorageRig) -> None:
    """``force`` on a volume that nobody has is an attach like any other."""
    [host], volume = rig.hosts(1), rig.create()
    rig.driver.attach(volume.id, host, force=True)
    expect_equal(rig.holders(volume), {host}, "the instances that have the volume afterwards")


@STORAGE.check()
def attach_by_force_where_it_is_already_changes_nothing(rig: StorageRig) -> None:
    """``force`` on the instance that has the volume does not pull it out from under those who use it there."""
    [host], volume = rig.hosts(1), rig.create()
    made = rig.driver.attach(volume.id, host)
    expect_equal(facts(rig.driver.attach(volume.id, host, force=True)), facts(made), "the attachment after force")
    expect_equal(list(map(facts, rig.driver.attachments(volume.id))), [facts(made)], "the attachments afterwards")


@STORAGE.check()
def attach_by_force_to_an_unknown_instance_leaves_the_holder(rig: StorageRig) -> None:
    """``force`` takes nothing from anybody for an instance that does not exist."""
    [holder], volume = rig.hosts(1), rig.create()
    rig.driver.attach(volume.id, holder)
    with expect_raises(NotFound, what="attaching by force to an unknown instance"):
        rig.driver.attach(volume.id, nobody(rig), force=True)
    expect_equal(rig.holders(volume), {holder}, "the instances that have the volume afterwards")


@STORAGE.check()
def attach_of_an_unknown_volume_names_it(rig: StorageRig) -> None:
    """Attaching a volume that does not exist is ``NotFound``, and the message says which."""
    [host] = rig.hosts(1)
    unknown = gone_volume(rig)
    with expect_raises(NotFound, what="attaching an unknown volume") as caught:
        rig.driver.attach(unknown, host)
    expect(unknown in caught.text, f"the error does not name the volume {unknown!r}: {caught.text}")


@STORAGE.check()
def attach_to_an_unknown_instance_names_it(rig: StorageRig) -> None:
    """Attaching to an instance that does not exist is ``NotFound``, names it, and leaves the volume free."""
    volume, unknown = rig.create(), nobody(rig)
    with expect_raises(NotFound, what="attaching to an unknown instance") as caught:
        rig.driver.attach(volume.id, unknown)
    expect(unknown in caught.text, f"the error does not name the instance {unknown!r}: {caught.text}")
    expect_equal(rig.holders(volume), set(), "the instances that have the volume afterwards")


@STORAGE.check()
def attach_tells_an_unknown_volume_from_an_unknown_instance(rig: StorageRig) -> None:
    """``NotFound`` says whether it is the volume or the instance that is unknown."""
    [host], volume, no_volume, no_host = rig.hosts(1), rig.create(), gone_volume(rig), nobody(rig)
    with expect_raises(NotFound, what="attaching an unknown volume") as of_volume:
        rig.driver.attach(no_volume, host)
    with expect_raises(NotFound, what="attaching to an unknown instance") as of_instance:
        rig.driver.attach(volume.id, no_host)
    texts = [
        of_volume.text.replace(no_volume, "VOLUME").replace(host, "INSTANCE"),
        of_instance.text.replace(no_host, "INSTANCE").replace(volume.id, "VOLUME"),
    ]
    expect(texts[0] != texts[1], f"one message for both does not tell which of them is unknown: {of_volume.text}")


@STORAGE.check()
def two_instances_that_race_for_a_volume_do_not_share_it(rig: StorageRig) -> None:
    """Of two instances that ask for a volume at the same moment one gets it, and the other ``InUse`` or ``Busy``."""
    hosts, volume, drivers = rig.hosts(2), rig.create(), (rig.driver, rig.restarted())
    calls = [
        lambda driver=driver, host=host: driver.attach(volume.id, host)
        for driver, host in zip(drivers, hosts, strict=True)
    ]
    found = rig.together(*calls)
    winners = {each.instance_id for each in found if isinstance(each, Attachment)}
    expect_equal(len(winners), 1, f"instances that were told that they have the volume ({found})")
    for each in found:
        expect(isinstance(each, (Attachment, InUse, Busy)), f"the one that lost got {each!r} instead of InUse or Busy")
    expect_equal(rig.holders(volume), winners, "the instances that have the volume after the race")


@STORAGE.check()
def attaches_at_one_moment_to_one_instance_are_one(rig: StorageRig) -> None:
    """Several callers that attach a volume to the same instance at the same moment get the same attachment."""
    [host], volume = rig.hosts(1), rig.create()
    drivers = (rig.driver, rig.driver, rig.restarted(), rig.restarted())
    calls = [lambda driver=driver: driver.attach(volume.id, host) for driver in drivers]
    found = at_one_moment(rig, "attaching", *calls)
    expect_equal(len(set(map(facts, found))), 1, "different attachments that the callers got")
    expect_equal(len(rig.driver.attachments(volume.id)), 1, "attachments afterwards")


@STORAGE.check()
def an_attach_that_was_killed_and_said_again_is_one_attachment(rig: StorageRig) -> None:
    """A process that is killed anywhere in ``attach`` leaves what a repeat finishes."""
    [host] = rig.hosts(1)
    for killed in sweep(rig.target, rig.sources, lambda: Call(method="attach", arguments=(rig.create().id, host))):
        volume = rig.driver.volume(killed.call.arguments[0])  # type: ignore[arg-type] # it is the id
        made = rig.driver.attach(volume.id, host)
        found = list(map(facts, rig.driver.attachments(volume.id)))
        expect_equal(found, [facts(made)], f"the attachments, killed {killed.where} and repeated")
        rig.driver.detach(volume.id)


@STORAGE.check()
def a_volume_is_shared_only_where_that_was_asked(rig: StorageRig) -> None:
    """Only a volume that was made with ``multiattach`` has several instances; detaching one leaves the others."""
    if "multiattach" not in rig.driver.create_options:
        raise Skipped("the driver makes no volumes that several instances can have: its options lack multiattach")
    first, second = rig.hosts(2)
    alone = rig.create(options={"multiattach": "false"})
    try:
        shared = rig.create(options={"multiattach": "true"})
    except InvalidRequest as error:
        raise Skipped(f"a volume for several instances takes more than that option: {error}") from None
    rig.driver.attach(alone.id, first)
    with expect_raises(InUse, what="attaching a volume for one instance to a second one"):
        rig.driver.attach(alone.id, second)
    for host in (first, second):
        rig.driver.attach(shared.id, host)
    expect_equal(rig.holders(shared), {first, second}, "the instances that have the volume that they share")
    rig.driver.detach(shared.id, first)
    expect_equal(rig.holders(shared), {second}, "the instances that have it after one was detached")


@STORAGE.check()
def an_instance_takes_no_more_volumes_than_it_says(rig: StorageRig) -> None:
    """``OutOfCapacity`` says that the instance can have no more volumes; the volume stays free."""
    [host] = rig.hosts(1)
    most = next((instance.max_volumes for instance in rig.driver.instances() if instance.id == host), 0)
    if not 0 < most <= MANY:
        raise Skipped(f"instance {host!r} takes {most or 'any number of'} volumes: this tries at most {MANY}")
    before = sum(1 for _ in rig.driver.attached(host))
    for _ in range(most - before):
        rig.driver.attach(rig.create().id, host)
    volume = rig.create()
    with expect_raises(OutOfCapacity, what=f"attaching a volume to an instance that has {most} of {most}"):
        rig.driver.attach(volume.id, host)
    expect_equal(rig.holders(volume), set(), "the instances that have the volume afterwards")
