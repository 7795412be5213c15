"""Volumes of the driver ``ec2`` are made, found by their names, listed and removed, through HTTP to a simulated EC2."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ec2_driver import GIB, NO_VOLUME, names_in, spec, storage, together
from ec2_parts import ZONE, Cloud, Proxy
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfRange, SettingsError, Unavailable
from rexray.types import AttachmentState, SnapshotId, VolumeId
from rexray_driver_ec2.storage import Ec2Storage

KEY = "arn:aws:kms:us-west-1:123456789012:key/bad"


@pytest.fixture(scope="module")
def shared(running_cloud: Cloud) -> Ec2Storage:
    return storage(running_cloud.url)


@pytest.fixture
def driver(shared: Ec2Storage, cloud: Cloud) -> Ec2Storage:
    return shared


def test_a_volume_is_what_was_asked_for(driver: Ec2Storage) -> None:
    made = driver.create(spec("data", 4, type="io2", iops=1000, encrypted=True))
    assert (made.name, made.size_bytes, made.type, made.iops) == ("data", 4 * GIB, "io2", 1000)
    assert (made.zone, made.encrypted, made.status, made.state) == (ZONE, True, "available", AttachmentState.AVAILABLE)
    assert made.created is not None
    assert abs(made.created.timestamp() - time.time()) < 60
    assert driver.volume(made.id) == made


def test_type_and_size_have_defaults(driver: Ec2Storage) -> None:
    made = driver.create(spec("data", 0))
    assert (made.type, made.size_bytes, made.iops) == ("gp3", 16 * GIB, 3000)


def test_a_size_is_rounded_up_to_whole_gib(driver: Ec2Storage) -> None:
    assert driver.create(spec("data", size_bytes=1)).size_bytes == GIB
    assert driver.create(spec("more", size_bytes=GIB + 1)).size_bytes == 2 * GIB


def test_throughput_is_an_option(driver: Ec2Storage) -> None:
    made = driver.create(spec("data", options={"throughput": "250"}))
    assert made.fields["throughput"] == "250"
    with pytest.raises(AlreadyExists, match=r"throughput 250.*300"):
        driver.create(spec("data", options={"throughput": "300"}))


def test_multi_attach_is_an_option(driver: Ec2Storage) -> None:
    made = driver.create(spec("data", 4, type="io2", iops=100, options={"multiattach": "true"}))
    assert made.fields["multiAttach"] == "true"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"throughput": "fast"}, "throughput: 'fast' is not a whole number"), ({"multiattach": "2"}, "multiattach: '2'")],
)
def test_an_option_that_makes_no_sense_is_named(driver: Ec2Storage, options: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        driver.create(spec("data", options=options))


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"size_bytes": -1}, "below 0"),
        ({"iops": -1}, "below 0"),
        ({"options": {"colour": "red"}}, "'ec2' has no option 'colour'; it has: multiattach, throughput"),
        ({"source_volume": NO_VOLUME, "source_snapshot": SnapshotId("snap-1")}, "of a volume and of a snapshot"),
    ],
)
def test_a_wish_that_makes_no_sense_makes_nothing(
    driver: Ec2Storage, cloud: Cloud, wish: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=f"volume 'data': .*{said}"):
        driver.create(spec("data", **wish))
    assert names_in(cloud) == []


def test_a_type_that_needs_iops_says_so(driver: Ec2Storage) -> None:
    with pytest.raises(InvalidRequest, match="'data': type io1 needs a number of IOPS"):
        driver.create(spec("data", 4, type="io1"))


def test_creating_twice_is_creating_once(cloud: Cloud, proxy: Proxy) -> None:
    driver = storage(proxy.url)
    first = driver.create(spec("data", iops=3000, encrypted=True))
    assert driver.create(spec("data", iops=3000, encrypted=True)) == first
    assert storage(proxy.url).create(spec("data")).id == first.id
    assert proxy.counts["CreateVolume"] == 1
    assert names_in(cloud) == ["data"]


def test_sixteen_at_once_make_one_volume(driver: Ec2Storage, cloud: Cloud) -> None:
    others = [driver, *(storage(cloud.url) for _ in range(3))]
    made = together(16, lambda number: others[number % 4].create(spec("data")), range(16))
    assert len({volume.id for volume in made}) == 1
    assert names_in(cloud) == ["data"]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"size_bytes": 6 * GIB}, "size in GiB 5, .* with 6"),
        ({"size_bytes": 4 * GIB}, "size in GiB 5, .* with 4"),
        ({"type": "gp2"}, "type gp3, .* with gp2"),
        ({"iops": 3500}, "iops 3000, .* with 3500"),
        ({"zone": "us-west-1b"}, "zone us-west-1a, .* with us-west-1b"),
        ({"encrypted": True}, "encrypted False, .* with True"),
        ({"source_snapshot": SnapshotId("snap-0123456789abcdef0")}, "snapshot .* with snap-0123456789abcdef0"),
        ({"source_volume": NO_VOLUME}, f"source .* with {NO_VOLUME}"),
        ({"options": {"multiattach": "true"}}, "multi-attach False, .* with True"),
        ({"encryption_key": KEY}, "another encryption key"),
        ({"size_bytes": 0, "limit_bytes": 4 * GIB}, "larger than was asked for"),
    ],
    ids=str,
)
def test_a_volume_that_differs_is_refused_with_both_states(
    driver: Ec2Storage, cloud: Cloud, wish: dict[str, Any], said: str
) -> None:
    made = driver.create(spec("data", 5))
    with pytest.raises(AlreadyExists, match=said) as caught:
        driver.create(spec("data", **{"size_bytes": 5 * GIB, **wish}))
    assert made.id in str(caught.value)
    assert names_in(cloud) == ["data"]


def test_a_size_beyond_the_limit_makes_nothing(driver: Ec2Storage, cloud: Cloud) -> None:
    with pytest.raises(OutOfRange, match="2 GiB is more than the limit"):
        driver.create(spec("data", size_bytes=GIB + 1, limit_bytes=2 * GIB - 1))
    assert "volumes" not in cloud.state() or names_in(cloud) == []


def test_a_missing_zone_names_the_setting(driver: Ec2Storage) -> None:
    with pytest.raises(SettingsError, match=r"'data'.*REXRAY_DOCKER_AVAILABILITYZONE"):
        driver.create(spec("data", zone=""))


def test_an_unknown_zone_is_refused(driver: Ec2Storage) -> None:
    with pytest.raises(InvalidRequest, match="us-west-1q"):
        driver.create(spec("data", zone="us-west-1q"))


@pytest.mark.parametrize("name", ["x" * 255, "名前 🗄 données", "a/b c", "*", "x?", "\\", "a\\*b", "<&>\"'"], ids=ascii)
def test_any_name_of_255_characters_is_kept(driver: Ec2Storage, name: str) -> None:
    made = driver.create(spec(name))
    assert (made.name, driver.volume(made.id).name) == (name, name)
    assert [volume.id for volume in driver.volumes_named(name)] == [made.id]
    assert driver.create(spec(name)).id == made.id


def test_a_name_that_is_too_long_or_empty_is_refused_and_is_nobodys(driver: Ec2Storage) -> None:
    for name, said in (("", "name is empty"), ("x" * 256, "1 to 255")):
        with pytest.raises(InvalidRequest, match=said):
            driver.create(spec(name))
        assert list(driver.volumes_named(name)) == []


@pytest.mark.parametrize("character", ["\0", "\r", "\x1b", "\ud800", "\uffff"], ids=ascii)
def test_a_name_that_an_answer_in_xml_cannot_have_is_refused_and_is_nobodys(
    driver: Ec2Storage, cloud: Cloud, character: str
) -> None:
    with pytest.raises(InvalidRequest, match=r"has the character .* which EC2 cannot tell again") as caught:
        driver.create(spec(f"data{character}"))
    assert str(caught.value).isprintable()
    assert list(driver.volumes_named(f"data{character}")) == []
    assert names_in(cloud) == []


def test_a_names_wildcards_mean_themselves(driver: Ec2Storage) -> None:
    names = ["ab", "a*", "a?", "a\\b", "a\\*", "*", "?b", "a"]
    ids = {name: driver.create(spec(name)).id for name in names}
    assert len(set(ids.values())) == len(names)
    for name in names:
        assert [volume.id for volume in driver.volumes_named(name)] == [ids[name]]


def test_two_volumes_of_a_name_are_an_error_that_lists_them(driver: Ec2Storage, cloud: Cloud) -> None:
    made = driver.create(spec("data"))
    other = driver.create(spec("other"))
    cloud.client().create_tags(Resources=[other.id], Tags=[{"Key": "Name", "Value": "data"}])
    with pytest.raises(AlreadyExists, match="several volumes are called 'data'") as caught:
        driver.create(spec("data"))
    assert made.id in str(caught.value)
    assert other.id in str(caught.value)
    assert {volume.id for volume in driver.volumes_named("data")} == {made.id, other.id}


def test_an_id_that_is_unknown_or_none_is_not_found_and_nothing_else_is_asked_for(cloud: Cloud, proxy: Proxy) -> None:
    driver = storage(proxy.url)
    for word in (NO_VOLUME, VolumeId("vol-1"), VolumeId("data"), VolumeId("")):
        with pytest.raises(NotFound, match=f"volume {word!r} does not exist in ec2 region 'us-west-1'"):
            driver.volume(word)
    assert proxy.counts == {"DescribeVolumes": 1}


def test_removing_deletes_and_a_missing_volume_is_success(driver: Ec2Storage, cloud: Cloud) -> None:
    made = driver.create(spec("data"))
    driver.remove(made.id)
    with pytest.raises(NotFound):
        driver.volume(made.id)
    assert list(driver.volumes_named("data")) == []
    for word in (made.id, NO_VOLUME, VolumeId("vol-1"), VolumeId("nonsense")):
        driver.remove(word)
        driver.remove(word, force=True)


def test_an_id_that_an_answer_in_xml_cannot_have_is_missing_and_removes_nothing(
    driver: Ec2Storage, cloud: Cloud
) -> None:
    made = driver.create(spec("data"))
    taken = driver.create_snapshot(made.id, "snap")
    for character in ("\0", "\n", "\ud800", "ö"):
        driver.remove(VolumeId(f"{made.id}{character}"))
        driver.remove_snapshot(SnapshotId(f"{taken.id}{character}"))
    assert names_in(cloud) == ["data"]
    assert list(cloud.state()["snapshots"]) == [taken.id]


def test_an_attached_volume_is_not_removed_and_its_holder_named(driver: Ec2Storage, cloud: Cloud) -> None:
    made, instance = driver.create(spec("data")), cloud.run_instance()
    cloud.client().attach_volume(VolumeId=made.id, InstanceId=instance, Device="/dev/sdf")
    for force in (False, True):
        with pytest.raises(InUse, match=f"{made.id}.*{instance}"):
            driver.remove(made.id, force=force)
    assert names_in(cloud) == ["data"]


def test_a_removed_volumes_name_is_made_again_at_once(driver: Ec2Storage, cloud: Cloud) -> None:
    made = [driver.create(spec("data")).id]
    for _ in range(4):
        driver.remove(made[-1])
        began = time.monotonic()
        made.append(driver.create(spec("data")).id)
        assert time.monotonic() - began < 2
    assert len(set(made)) == 5
    assert [volume.id for volume in driver.volumes_named("data")] == made[-1:]


def test_a_name_is_made_again_by_processes_that_know_nothing_of_each_other(cloud: Cloud) -> None:
    cloud.delays(delete=30)
    for _ in range(2):
        one = storage(cloud.url)
        one.remove(one.create(spec("data")).id)
    last = storage(cloud.url).create(spec("data"))
    assert names_in(cloud) == ["data"]
    assert last.state is AttachmentState.AVAILABLE


def test_a_removed_volumes_name_is_made_again_by_another_process(driver: Ec2Storage, cloud: Cloud) -> None:
    first = driver.create(spec("data"))
    cloud.delays(delete=30)  # EC2 goes on showing it for a while
    driver.remove(first.id)
    other = storage(cloud.url).create(spec("data"))
    assert other.id != first.id
    cloud.delays(delete=0.02)
    driver.remove(other.id)
    time.sleep(4.2)  # old enough to be known everywhere if it were there
    assert storage(cloud.url).create(spec("data")).id not in (first.id, other.id)


def test_a_renamed_volume_is_not_given_for_its_old_name(driver: Ec2Storage, cloud: Cloud) -> None:
    made = driver.create(spec("data"))
    cloud.client().create_tags(Resources=[made.id], Tags=[{"Key": "Name", "Value": "renamed"}])
    time.sleep(4.2)  # a younger one might have tags that are not known everywhere
    again = storage(cloud.url).create(spec("data"))
    assert again.id != made.id
    assert names_in(cloud) == ["data", "renamed"]


def test_a_volume_that_ends_in_error_is_deleted_and_its_name_is_free(driver: Ec2Storage, cloud: Cloud) -> None:
    cloud.control(bad_kms_keys=[KEY])
    with pytest.raises(Unavailable, match=r"ended as 'error'.*KMS key.*ec2\.kmsKeyID"):
        driver.create(spec("data", encryption_key=KEY))
    assert names_in(cloud) == [] or list(driver.volumes_named("data")) == []
    made = driver.create(spec("data", encrypted=True))
    assert made.status == "available"


def test_the_configured_key_encrypts_what_is_to_be_encrypted(cloud: Cloud) -> None:
    driver = storage(cloud.url, EC2_KMSKEYID="1234abcd-12ab-34cd-56ef-1234567890ab")
    made = driver.create(spec("data", encrypted=True))
    assert made.encrypted
    assert made.fields["kmsKeyId"].endswith("key/1234abcd-12ab-34cd-56ef-1234567890ab")
    assert not driver.create(spec("open")).encrypted
    own = driver.create(spec("own", encryption_key=KEY))
    assert (own.encrypted, own.fields["kmsKeyId"]) == (True, KEY)


def test_a_listing_of_more_than_a_thousand_volumes_is_paged(cloud: Cloud, proxy: Proxy) -> None:
    cloud.delays(create=0)
    plain = cloud.client()

    def make(number: int) -> str:
        return plain.create_volume(AvailabilityZone=ZONE, Size=1, VolumeType="gp3")["VolumeId"]

    made = together(8, make, range(1003))
    driver = storage(proxy.url)
    assert sorted(volume.id for volume in driver.volumes()) == sorted(made)
    assert proxy.counts == {"DescribeVolumes": 3}
    assert all(int(form["MaxResults"]) == 500 for _, form in proxy.calls)


def test_no_volumes_are_an_empty_list(driver: Ec2Storage) -> None:
    assert list(driver.volumes()) == []
    assert list(driver.instances()) == []


def test_zones_and_room_are_told(driver: Ec2Storage) -> None:
    assert driver.zones() == ("us-west-1a", "us-west-1b")
    room = driver.capacity(ZONE)
    assert room == driver.capacity()
    assert room.largest_volume_bytes == 65536 * GIB


def test_instances_are_listed_without_those_that_are_gone(driver: Ec2Storage, cloud: Cloud) -> None:
    first, gone = cloud.instances(2)
    other = cloud.run_instance("us-west-1b")
    cloud.client().terminate_instances(InstanceIds=[gone])
    cloud.client().create_tags(Resources=[first], Tags=[{"Key": "Name", "Value": "web"}])
    found = {instance.id: instance for instance in driver.instances()}
    assert set(found) == {first, other}
    assert (found[first].name, found[first].zone, found[first].region) == ("web", ZONE, "us-west-1")  # type: ignore[index]
    assert found[other].fields == {"instanceType": "t3.medium", "state": "running"}  # type: ignore[index]
