"""Volumes of the driver ``ec2`` grow and change their type and speed, through HTTP to a simulated EC2."""

from __future__ import annotations

import pytest

from ec2_driver import GIB, NO_VOLUME, spec, storage, together
from ec2_parts import Cloud, Proxy
from rexray.errors import Busy, InvalidRequest, NotFound, OutOfRange, TimedOut
from rexray.types import InstanceId, Volume
from rexray_driver_ec2.storage import Ec2Storage


@pytest.fixture
def driver(proxy: Proxy) -> Ec2Storage:
    return storage(proxy.url)


@pytest.fixture
def volume(driver: Ec2Storage) -> Volume:
    return driver.create(spec("data", 5))


def test_a_volume_grows_to_whole_gib(driver: Ec2Storage, volume: Volume) -> None:
    grown = driver.expand(volume.id, 6 * GIB + 1)
    assert (grown.id, grown.size_bytes) == (volume.id, 7 * GIB)
    assert driver.volume(volume.id) == grown


def test_a_volume_grows_while_it_is_attached(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    driver.attach(volume.id, InstanceId(cloud.run_instance()))
    grown = driver.expand(volume.id, 6 * GIB)
    assert (grown.size_bytes, grown.status) == (6 * GIB, "in-use")


@pytest.mark.parametrize("size", [1, 4 * GIB, 5 * GIB - 1, 5 * GIB])
def test_as_large_already_changes_nothing(driver: Ec2Storage, proxy: Proxy, volume: Volume, size: int) -> None:
    assert driver.expand(volume.id, size) == volume
    assert proxy.counts["ModifyVolume"] == 0


def test_growing_beyond_the_limit_changes_nothing(driver: Ec2Storage, proxy: Proxy, volume: Volume) -> None:
    with pytest.raises(OutOfRange, match=f"{volume.id}.* 7 GiB is more than the limit"):
        driver.expand(volume.id, 6 * GIB + 1, limit_bytes=7 * GIB - 1)
    assert proxy.counts["ModifyVolume"] == 0
    assert driver.expand(volume.id, 6 * GIB + 1, limit_bytes=7 * GIB).size_bytes == 7 * GIB


def test_growing_beyond_what_the_type_can_be_is_refused(driver: Ec2Storage, volume: Volume) -> None:
    with pytest.raises(OutOfRange, match=f"{volume.id}.* 65537 GiB are more than the 65536 GiB that gp3 can have"):
        driver.expand(volume.id, 65537 * GIB)


def test_growing_twice_is_growing_once(driver: Ec2Storage, proxy: Proxy, volume: Volume) -> None:
    for _ in range(2):
        assert driver.expand(volume.id, 6 * GIB).size_bytes == 6 * GIB
    assert proxy.counts["ModifyVolume"] == 1


def test_two_who_grow_a_volume_alike_at_once_both_succeed(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    cloud.delays(modify=0.3, optimize=30)
    both = together(2, lambda who: who.expand(volume.id, 6 * GIB), [driver, storage(cloud.url)])
    assert [found.size_bytes for found in both] == [6 * GIB] * 2


def test_type_iops_and_throughput_are_changed_in_one_call(driver: Ec2Storage, proxy: Proxy) -> None:
    volume = driver.create(spec("data", 8))
    found = driver.modify(volume.id, {"iops": "4000", "Throughput": "300"})
    assert (found.iops, found.fields["throughput"]) == (4000, "300")
    found = driver.modify(volume.id, {"type": "io1", "iops": "200"})
    assert (found.type, found.iops) == ("io1", 200)
    assert driver.modify(volume.id, {"volumeType": "gp2"}).type == "gp2"
    assert proxy.counts["ModifyVolume"] == 3
    assert driver.volume(volume.id).size_bytes == 8 * GIB


@pytest.mark.parametrize("options", [{}, {"type": "gp3"}, {"volumetype": "gp3", "iops": "3000", "throughput": "125"}])
def test_what_is_so_already_is_not_changed(
    driver: Ec2Storage, proxy: Proxy, volume: Volume, options: dict[str, str]
) -> None:
    assert driver.modify(volume.id, options) == volume
    assert proxy.counts["ModifyVolume"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"iops": "4000", "colour": "red"}, "'colour' cannot be changed: there are volumetype, iops, throughput"),
        ({"throughput": "300", "size": "10"}, "'size' cannot be changed"),
        ({"type": "io1", "iops": "many"}, "iops: 'many' is not a whole number"),
        ({"type": "gp9"}, r"Unknown volume type: 'gp9' \(UnknownVolumeType\): .*volumetype"),
        ({"type": "gp2", "iops": "4000"}, "iops is not supported for gp2"),
    ],
    ids=str,
)
def test_a_change_that_makes_no_sense_changes_nothing(
    driver: Ec2Storage, volume: Volume, options: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        driver.modify(volume.id, options)
    assert driver.volume(volume.id) == volume


def test_the_fifth_change_of_a_day_is_refused_and_says_why(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    cloud.control(modifications=1)
    driver.expand(volume.id, 6 * GIB)
    with pytest.raises(Busy, match=rf"{volume.id}.*VolumeModificationRateExceeded.*four changes of a volume a day"):
        driver.expand(volume.id, 7 * GIB)


def test_a_change_while_another_is_under_way_is_busy(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    cloud.delays(optimize=30)
    assert driver.expand(volume.id, 6 * GIB).size_bytes == 6 * GIB  # usable while it is being optimized
    with pytest.raises(Busy, match=rf"{volume.id}.*earlier change.*not finished"):
        driver.expand(volume.id, 7 * GIB)
    with pytest.raises(Busy, match=rf"{volume.id}"):
        driver.modify(volume.id, {"iops": "4000"})
    assert driver.expand(volume.id, 6 * GIB).size_bytes == 6 * GIB


def test_a_change_that_takes_too_long_times_out_and_goes_on_when_it_is_asked_for_again(
    proxy: Proxy, cloud: Cloud, volume: Volume
) -> None:
    cloud.delays(modify=0.6)
    driver = storage(proxy.url, EC2_STATUSTIMEOUT="200ms")
    with pytest.raises(TimedOut, match=rf"changing volume '{volume.id}'.*0\.2 s \(ec2\.statusTimeout\)"):
        driver.expand(volume.id, 6 * GIB)
    assert storage(proxy.url).expand(volume.id, 6 * GIB).size_bytes == 6 * GIB
    assert cloud.state()["volumes"][volume.id]["size"] == 6


def test_a_slow_change_is_waited_for(driver: Ec2Storage, cloud: Cloud, volume: Volume) -> None:
    cloud.delays(modify=0.5, optimize=30)
    assert driver.expand(volume.id, 8 * GIB).size_bytes == 8 * GIB


def test_an_unknown_volume_is_not_changed(driver: Ec2Storage) -> None:
    with pytest.raises(NotFound, match=NO_VOLUME):
        driver.expand(NO_VOLUME, 2 * GIB)
    with pytest.raises(NotFound, match=NO_VOLUME):
        driver.modify(NO_VOLUME, {"iops": "4000"})
