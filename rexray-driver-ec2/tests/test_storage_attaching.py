"""Volumes of the driver ``ec2`` are attached to instances and detached, through HTTP to a simulated EC2."""

from __future__ import annotations

from collections import Counter

import pytest

from ec2_driver import GIB, NO_VOLUME, spec, storage, together
from ec2_parts import Cloud, Proxy
from rexray.errors import InUse, InvalidRequest, NotFound, NotReady, OutOfCapacity, Unsupported
from rexray.types import AttachmentState, InstanceId, Volume, VolumeId
from rexray_driver_ec2.storage import Ec2Storage

NO_INSTANCE = InstanceId("i-0123456789abcdef0")


@pytest.fixture(scope="module")
def shared(running_cloud: Cloud) -> Ec2Storage:
    return storage(running_cloud.url)


@pytest.fixture
def driver(shared: Ec2Storage, cloud: Cloud) -> Ec2Storage:
    return shared


@pytest.fixture
def volume(driver: Ec2Storage) -> Volume:
    return driver.create(spec("data", 5))


@pytest.fixture
def shareable(driver: Ec2Storage) -> Volume:
    return driver.create(spec("shared", 4, type="io2", iops=100, options={"multiattach": "true"}))


@pytest.fixture
def web(cloud: Cloud) -> InstanceId:
    return InstanceId(cloud.run_instance())


@pytest.fixture
def other(cloud: Cloud) -> InstanceId:
    return InstanceId(cloud.run_instance())


def holders(cloud: Cloud, volume_id: VolumeId) -> dict[str, list[str]]:
    """What the cloud itself knows of a volume's attachments."""
    found: dict[str, list[str]] = cloud.state()["volumes"][volume_id]["attachments"]
    return found


def test_an_attached_volume_is_there_when_attach_returns(
    driver: Ec2Storage, cloud: Cloud, volume: Volume, web: InstanceId
) -> None:
    made = driver.attach(volume.id, web)
    assert (made.volume_id, made.instance_id, made.status, made.token) == (volume.id, web, "attached", "/dev/xvdf")
    assert made.fields["sizeBytes"] == str(5 * GIB)
    assert holders(cloud, volume.id) == {web: ["/dev/xvdf", "attached"]}
    seen = driver.volume(volume.id)
    assert (seen.attachments, seen.network_name, seen.status) == ((made,), "/dev/xvdf", "in-use")
    assert seen.state is AttachmentState.UNAVAILABLE  # here is no instance


def test_a_volume_is_attached_as_seen_from_its_instance(cloud: Cloud, volume: Volume, web: InstanceId) -> None:
    driver = storage(cloud.url, EC2_INSTANCEID=web)
    driver.attach(volume.id, web)
    assert driver.volume(volume.id).state is AttachmentState.ATTACHED


def test_attaching_twice_is_attaching_once(driver: Ec2Storage, cloud: Cloud, volume: Volume, web: InstanceId) -> None:
    made = driver.attach(volume.id, web, device="/dev/xvdh")
    assert driver.attach(volume.id, web) == made
    assert driver.attach(volume.id, web, device="/dev/xvdk") == made
    assert driver.attach(volume.id, web, force=True) == made
    assert storage(cloud.url).attach(volume.id, web) == made


def test_one_attachment_comes_of_sixteen_attaches_at_once(
    driver: Ec2Storage, cloud: Cloud, volume: Volume, web: InstanceId
) -> None:
    made = together(16, lambda _: driver.attach(volume.id, web), range(16))
    assert len({attachment.token for attachment in made}) == 1
    assert holders(cloud, volume.id) == {web: [made[0].token, "attached"]}


def test_a_volume_of_another_instance_is_in_use_and_force_takes_it(
    driver: Ec2Storage, cloud: Cloud, volume: Volume, web: InstanceId, other: InstanceId
) -> None:
    driver.attach(volume.id, web)
    with pytest.raises(InUse, match=f"{volume.id}' is attached to {web}, not to '{other}'"):
        driver.attach(volume.id, other)
    assert list(holders(cloud, volume.id)) == [web]
    assert driver.attach(volume.id, other, force=True).instance_id == other
    assert list(holders(cloud, volume.id)) == [other]


def test_force_takes_a_volume_that_its_instance_does_not_let_go(
    cloud: Cloud, volume: Volume, web: InstanceId, other: InstanceId
) -> None:
    driver = storage(cloud.url, EC2_STATUSTIMEOUT="400ms")
    driver.attach(volume.id, web)
    cloud.control(busy=[volume.id])
    assert driver.attach(volume.id, other, force=True).instance_id == other
    assert list(holders(cloud, volume.id)) == [other]


def test_a_shared_volume_is_attached_to_several_instances(
    driver: Ec2Storage, cloud: Cloud, shareable: Volume, web: InstanceId, other: InstanceId
) -> None:
    first, second = driver.attach(shareable.id, web), driver.attach(shareable.id, other)
    assert driver.attachments(shareable.id) == (first, second)
    assert driver.attachments(shareable.id, other) == (second,)
    driver.detach(shareable.id, web)
    assert list(holders(cloud, shareable.id)) == [other]
    driver.attach(shareable.id, web)
    driver.detach(shareable.id)
    assert holders(cloud, shareable.id) == {}


def test_a_volume_of_another_zone_is_refused(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    far = InstanceId(cloud.run_instance("us-west-1b"))
    with pytest.raises(InvalidRequest, match=rf"{volume.id}.*one zone"):
        driver.attach(volume.id, far)


def test_no_volume_is_attached_read_only(driver: Ec2Storage, cloud: Cloud, volume: Volume, web: InstanceId) -> None:
    with pytest.raises(Unsupported, match=rf"{volume.id}.*read-only"):
        driver.attach(volume.id, web, read_only=True)
    assert holders(cloud, volume.id) == {}


def test_the_unknown_one_is_named(driver: Ec2Storage, volume: Volume, web: InstanceId) -> None:
    for word in (NO_VOLUME, VolumeId("vol-1"), VolumeId("data")):
        with pytest.raises(NotFound, match=f"volume {word!r}"):
            driver.attach(word, web)
        with pytest.raises(NotFound, match=word):
            driver.attachments(word)
        driver.detach(word)
        driver.detach(word, web)
    for instance in (NO_INSTANCE, InstanceId("i-1"), InstanceId("web")):
        with pytest.raises(NotFound, match=f"instance {instance!r} does not exist"):
            driver.attach(volume.id, instance)
        driver.detach(volume.id, instance)
        assert list(driver.attached(instance)) == []


def test_an_instance_that_ends_takes_no_volume(
    driver: Ec2Storage, cloud: Cloud, volume: Volume, web: InstanceId
) -> None:
    cloud.control(instance_states={web: "shutting-down"})
    with pytest.raises(NotReady, match=f"{volume.id}.*{web}"):
        driver.attach(volume.id, web)


def test_a_stopped_instance_takes_a_volume(driver: Ec2Storage, cloud: Cloud, volume: Volume, web: InstanceId) -> None:
    cloud.control(instance_states={web: "stopped"})
    assert driver.attach(volume.id, web).status == "attached"


def test_an_instance_that_is_full_says_so(driver: Ec2Storage, cloud: Cloud, volume: Volume, web: InstanceId) -> None:
    cloud.control(attach_limit=2)
    driver.attach(volume.id, web)
    with pytest.raises(OutOfCapacity, match=f"{web}.*no more volumes"):
        driver.attach(driver.create(spec("more")).id, web)


def test_detaching_twice_is_detaching_once(
    driver: Ec2Storage, cloud: Cloud, volume: Volume, web: InstanceId, other: InstanceId
) -> None:
    driver.detach(volume.id)
    driver.detach(volume.id, web)
    driver.attach(volume.id, web)
    driver.detach(volume.id, other)
    assert list(holders(cloud, volume.id)) == [web]
    driver.detach(volume.id, web)
    assert holders(cloud, volume.id) == {}
    driver.detach(volume.id, web, force=True)
    driver.detach(volume.id)
    assert driver.volume(volume.id).status == "available"
    assert driver.attachments(volume.id) == ()


def test_detaching_at_once_by_many_is_detaching_once(
    driver: Ec2Storage, cloud: Cloud, volume: Volume, web: InstanceId
) -> None:
    driver.attach(volume.id, web)
    together(8, lambda number: driver.detach(volume.id, web if number % 2 else None), range(8))
    assert holders(cloud, volume.id) == {}


def test_a_volume_that_is_mounted_there_is_in_use_until_it_is_forced(
    cloud: Cloud, volume: Volume, web: InstanceId
) -> None:
    driver = storage(cloud.url, EC2_STATUSTIMEOUT="400ms")
    driver.attach(volume.id, web)
    cloud.control(busy=[volume.id])
    with pytest.raises(
        InUse, match=f"{volume.id}' is still in use on '{web}': unmount it there, or detach it by force"
    ):
        driver.detach(volume.id, web)
    driver.detach(volume.id, web, force=True)
    assert holders(cloud, volume.id) == {}


def test_what_an_instance_has_is_listed_with_its_root_volume(
    cloud: Cloud, proxy: Proxy, volume: Volume, web: InstanceId, other: InstanceId
) -> None:
    driver = storage(proxy.url)
    driver.attach(volume.id, web)
    driver.attach(driver.create(spec("theirs")).id, other)
    proxy.forget()
    found = {seen.name: seen for seen in driver.attached(web)}
    assert set(found) == {"", "data"}
    assert found["data"].attachments == driver.attachments(volume.id)
    assert proxy.calls[0][1]["Filter.1.Value.1"] == web
    assert proxy.counts == {"DescribeVolumes": 2}


def test_the_proposed_name_is_taken_if_it_is_free(driver: Ec2Storage, web: InstanceId) -> None:
    first, second, third = (driver.create(spec(name)).id for name in "abc")
    assert driver.attach(first, web, device="/dev/sdf").token == "/dev/sdf"
    assert driver.attach(second, web, device="/dev/xvdf").token == "/dev/xvdg"
    assert driver.attach(third, web, device="/dev/sdg").token == "/dev/xvdh"


def test_names_that_others_took_are_left_alone(
    driver: Ec2Storage, cloud: Cloud, volume: Volume, web: InstanceId
) -> None:
    plain = cloud.client()
    for name, device in (("x", "/dev/sdf"), ("y", "xvdg"), ("z", "/dev/xvdh")):
        plain.attach_volume(VolumeId=driver.create(spec(name)).id, InstanceId=web, Device=device)
    assert driver.attach(volume.id, web).token == "/dev/xvdi"


def test_a_name_that_another_process_took_meanwhile_costs_one_more_try(
    cloud: Cloud, proxy: Proxy, web: InstanceId
) -> None:
    driver, rival = storage(proxy.url), storage(cloud.url)
    mine, theirs, next_one = (driver.create(spec(name)).id for name in "abc")
    driver.attach(mine, web)
    assert rival.attach(theirs, web).token == "/dev/xvdg"
    proxy.forget()
    assert driver.attach(next_one, web).token == "/dev/xvdh"
    assert proxy.counts["AttachVolume"] == 2


def test_a_detached_volumes_name_is_used_again(driver: Ec2Storage, web: InstanceId) -> None:
    ids = [driver.create(spec(name)).id for name in "abc"]
    tokens = []
    for volume_id in ids:
        tokens.append(driver.attach(volume_id, web).token)
        driver.detach(volume_id, web)
    assert tokens == ["/dev/xvdf"] * 3


def test_the_large_range_is_used_where_it_is_configured(cloud: Cloud, volume: Volume, web: InstanceId) -> None:
    driver = storage(cloud.url, EC2_USELARGEDEVICERANGE="true")
    assert driver.attach(volume.id, web).token == "/dev/xvdba"


def test_sixty_four_attaches_at_once_to_four_instances_share_no_name(cloud: Cloud, proxy: Proxy) -> None:
    driver = storage(proxy.url)
    instances = [InstanceId(word) for word in cloud.instances(4)]
    volumes = together(64, lambda number: driver.create(spec(f"v{number}")).id, range(64))
    made = together(64, lambda number: driver.attach(volumes[number], instances[number % 4]), range(64))
    taken = Counter((attachment.instance_id, attachment.token) for attachment in made)
    assert len(taken) == 64
    assert Counter(instance for instance, _ in taken) == dict.fromkeys(instances, 16)
    assert proxy.counts["AttachVolume"] == 64
    for volume_id, attachment in zip(volumes, made, strict=True):
        assert holders(cloud, volume_id) == {attachment.instance_id: [attachment.token, "attached"]}
    together(64, driver.detach, volumes)
    assert all(driver.attachments(volume_id) == () for volume_id in volumes[:4])
