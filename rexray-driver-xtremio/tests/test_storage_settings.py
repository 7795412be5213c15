"""Which XMS and which cluster: what is configured, and what is wrong with that."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from rexray.errors import NotFound, SettingsError
from rexray.settings import Sources
from rexray_driver_xtremio.storage import XtremIoStorage
from rexray_driver_xtremio.viability import viability
from xms_parts import Xms
from xtremio_parts import GIB, HERE, driver, environ, fails, named, of, spec


def test_the_room_is_what_the_drives_have_left(each_xms: Xms) -> None:
    storage = driver(each_xms)
    assert storage.capacity().available_bytes == 4096 * GIB


def test_an_xms_with_several_clusters_needs_the_name_of_one(xms: Xms) -> None:
    xms.add_cluster("xbrick2")
    fails(SettingsError, r"xtremio\.cluster is missing.*xbrick1, xbrick2", lambda: list(driver(xms).volumes()))
    two = driver(xms, XTREMIO_CLUSTER="xbrick2")
    made = two.create(spec("data", 1))
    two.attach(made.id, HERE)
    two.create_snapshot(made.id, "kept")
    two.create(spec("clone", 2, **of(made)))
    assert two.capacity().available_bytes == 4096 * GIB
    assert list(driver(xms, XTREMIO_CLUSTER="xbrick1").volumes()) == []
    fails(NotFound, "xbrick1", lambda: driver(xms, XTREMIO_CLUSTER="xbrick1").volume(made.id))
    two.detach(made.id)
    two.remove(made.id)
    assert [volume["name"] for volume in xms.volumes("xbrick2")] == ["kept.snap", "clone"]
    assert xms.volumes("xbrick1") == []


def test_a_wrong_cluster_is_told_with_those_that_there_are(each_xms: Xms) -> None:
    wrong = driver(each_xms, XTREMIO_CLUSTER="xbrick9")
    fails(SettingsError, r"xtremio\.cluster: 'xbrick9' is no cluster.*xbrick1", lambda: list(wrong.volumes()))
    assert [volume.name for volume in driver(each_xms, XTREMIO_CLUSTER="xbrick1").volumes()] == []


def test_a_cluster_that_is_renamed_is_not_taken_for_an_empty_one(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    xms.store.clusters.rename(xms.cluster(), "renamed")
    fails(SettingsError, r"xtremio\.cluster", lambda: storage.remove(made.id))
    fails(SettingsError, r"xtremio\.cluster", lambda: list(driver(xms, XTREMIO_CLUSTER="xbrick1").volumes()))
    assert named(xms) == ["data"]


def test_a_list_that_is_missing_is_not_taken_for_an_empty_one(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    calls = (partial(storage.remove, made.id), partial(storage.volume, made.id), partial(storage.detach, made.id))
    for call in calls:
        xms.refuse("GET", "types/volumes", message="obj_not_found")
        fails(SettingsError, r"xtremio\.cluster.*'xbrick1'", call)
    storage.remove(made.id)
    assert named(xms) == []


def test_the_endpoint_may_be_said_with_its_path_or_without(xms: Xms) -> None:
    for url in (xms.url, xms.url + "/", xms.url.removesuffix("/api/json"), xms.url.removeprefix("https://")):
        assert list(driver(xms, GOXTREMIO_ENDPOINT=url).volumes()) == []


@pytest.mark.parametrize("name", ["GOXTREMIO_ENDPOINT", "GOXTREMIO_USERNAME", "GOXTREMIO_PASSWORD"])
def test_a_missing_setting_is_named(xms: Xms, name: str) -> None:
    fails(SettingsError, rf"\${name}\) is missing", lambda: driver(xms, **{name: ""}))


def test_nothing_is_asked_before_the_first_call(xms: Xms) -> None:
    XtremIoStorage.make(Sources(environ=environ(xms)))
    assert xms.calls == []


def test_it_is_viable_with_an_endpoint_or_a_device(tmp_path: Path) -> None:
    vendor = tmp_path / "class/scsi_device/1:0:0:1/device/vendor"
    assert not viability(sys=tmp_path, environ={}).ok
    assert "GOXTREMIO_ENDPOINT" in viability(sys=tmp_path, environ={}).reason
    assert viability(sys=tmp_path, environ={"GOXTREMIO_ENDPOINT": "https://xms"}).ok
    vendor.parent.mkdir(parents=True)
    vendor.write_text("ATA     \n")
    assert not viability(sys=tmp_path, environ={}).ok
    vendor.write_text("XtremIO \n")
    assert viability(sys=tmp_path, environ={}).ok
