"""What the XMS refuses becomes an error of one line that names the cause and the setting, and never a secret."""

from __future__ import annotations

import re
import threading
from functools import partial
from pathlib import Path

import pytest

from rexray.errors import (
    AlreadyExists,
    Busy,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutOfCapacity,
    RexrayError,
    SettingsError,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from rexray.http import Answer, NoAnswer, NotSent
from rexray_driver_xtremio.refusals import content_of, said
from rexray_driver_xtremio.storage import XtremIoStorage
from xms_parts import Xms
from xtremio_parts import HERE, WIDTH, at_once, changes, driver, environ, fails, named, outcome, spec, words

MESSAGES = {
    "obj_not_found": NotFound,
    "vol_obj_not_found": NotFound,
    "ig_obj_not_found": NotFound,
    "cluster_obj_not_found": SettingsError,
    "vol_obj_name_not_unique": AlreadyExists,
    "vol_already_mapped": AlreadyExists,
    "system_is_busy": Busy,
    "too_many_objs": OutOfCapacity,
    "too_many_snapshots_per_vol": OutOfCapacity,
    "Command Syntax Error: Missing some of mandatory properties list: ['entity']": InvalidRequest,
    "something_new": RexrayError,
    "two\nlines": RexrayError,
}


@pytest.fixture
def hasty(xms: Xms) -> XtremIoStorage:
    """A driver that does not wait while the array is busy, and has found its cluster."""
    storage = driver(xms, XTREMIO_BUSYTIMEOUT="1ms")
    assert list(storage.volumes()) == []
    return storage


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_has_its_error_and_is_shown(xms: Xms, hasty: XtremIoStorage, message: str) -> None:
    xms.refuse("PUT", "types/volumes", message=message, times=10)
    made = hasty.create(spec("data", 1))
    text = fails(MESSAGES[message], r"PUT volumes 'data'", lambda: hasty.expand(made.id, 2 << 30))
    assert " ".join(message.split()) in text


def test_a_refusal_remembers_what_the_array_said(xms: Xms, hasty: XtremIoStorage) -> None:
    xms.refuse("GET", "types/volumes", message="something_new")
    result = outcome(lambda: list(hasty.volumes()))
    assert isinstance(result, RexrayError)
    assert said(result) == "something_new"
    assert said(ValueError()) == ""


def test_the_arrays_limits_are_told_and_nothing_is_left_half(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    xms.switches.snapshots_per_volume = 0
    fails(OutOfCapacity, "no more snapshots", lambda: storage.create_snapshot(made.id, "kept"))
    fails(OutOfCapacity, "no more snapshots", lambda: storage.create(spec("clone", source_volume=made.id)))
    xms.switches.volumes_limit = 1
    fails(OutOfCapacity, "no more objects", lambda: storage.create(spec("more", 1)))
    assert storage.create(spec("data", 1)) == made
    assert named(xms) == ["data"]


def test_a_busy_array_is_asked_again(each_xms: Xms) -> None:
    storage = driver(each_xms)
    each_xms.busy(times=3)
    made = storage.create(spec("data", 1))
    for method, pattern in (("POST", "lun-maps"), ("POST", "initiator"), ("DELETE", "lun-maps"), ("DELETE", "volumes")):
        each_xms.busy(1, method, pattern)
    storage.attach(made.id, HERE)
    storage.detach(made.id)
    storage.remove(made.id)
    assert named(each_xms) == []
    assert changes(each_xms).count("POST volumes") == 1


def test_an_array_that_stays_busy_is_told_with_the_setting(xms: Xms) -> None:
    xms.busy(times=100)
    storage = driver(xms, XTREMIO_BUSYTIMEOUT="300ms")
    fails(Busy, r"xtremio\.busyTimeout.*system_is_busy", lambda: list(storage.volumes()))
    assert 2 <= len(xms.calls) < 10


def test_a_wrong_password_names_the_settings_and_is_tried_once(each_xms: Xms) -> None:
    storage = driver(each_xms, GOXTREMIO_PASSWORD="a-wrong-secret")
    gate = threading.Barrier(WIDTH)

    def ask(_: int) -> object:
        gate.wait(30)
        return outcome(lambda: list(storage.volumes()))

    for result in at_once(ask, range(WIDTH)):
        assert isinstance(result, Unauthorized)
        assert "xtremio.userName ($GOXTREMIO_USERNAME)" in str(result)
        assert "a-wrong-secret" not in f"{result!r} {result.__cause__!r}"
    assert len(each_xms.calls) < WIDTH / 4
    fails(Unauthorized, "GOXTREMIO_PASSWORD", lambda: storage.create(spec("data", 1)))


def test_no_secret_is_shown_whatever_the_array_repeats(xms: Xms) -> None:
    secrets = {"XTREMIO_CHAPUSER": "me", "XTREMIO_CHAPPASSWORD": "secret-of-chap"}
    storage = driver(xms, **secrets)
    made = storage.create(spec("data", 1))
    xms.refuse("POST", "types/initiators", message="bad secret-of-chap of Xtrem10")
    result = outcome(lambda: storage.attach(made.id, HERE))
    assert isinstance(result, RexrayError)
    shown = f"{result!r} {result.__cause__!r} {storage!r} {vars(storage)!r}"
    assert "***" in str(result)
    assert "secret-of-chap" not in shown
    assert "Xtrem10" not in shown
    for call in xms.calls:
        assert "Xtrem10" not in f"{call.path} {call.query}"


def test_an_untrusted_certificate_names_the_settings(xms: Xms) -> None:
    storage = driver(xms, XTREMIO_CAFILE="")
    result = outcome(lambda: list(storage.volumes()))
    assert isinstance(result, NotSent)
    assert re.search(r"certificate is not trusted.*xtremio\.caFile.*xtremio\.insecure", str(result))
    assert list(driver(xms, XTREMIO_CAFILE="", GOXTREMIO_INSECURE="true").volumes()) == []
    missing = driver(xms, XTREMIO_CAFILE=str(Path(xms.ca_file) / "none"))
    fails(SettingsError, r"xtremio\.caFile", lambda: list(missing.volumes()))


def test_an_xms_that_is_down_is_told_and_found_again(xms: Xms) -> None:
    storage, fresh = driver(xms), driver(xms)
    storage.create(spec("data", 1))
    xms.stop()
    for call in (lambda: storage.create(spec("more", 1)), fresh.capacity):
        fails(NotSent, r"cannot be reached.*xtremio\.endpoint", call)
    xms.start()
    assert [volume.name for each in (storage, fresh) for volume in each.volumes()] == ["data", "data"]


def test_an_xms_that_restarts_during_calls_loses_nothing(xms: Xms, storage: XtremIoStorage) -> None:
    done = threading.Event()

    def restart() -> None:
        while not done.wait(0.3):
            xms.restart()

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        for number in range(10):
            wish = spec(f"data{number}", 1)
            for _ in range(20):
                if not isinstance(outcome(partial(storage.create, wish)), Unavailable):
                    break
    finally:
        done.set()
        thread.join()
    assert named(xms) == sorted(f"data{number}" for number in range(10))


@pytest.mark.parametrize("status", [200, 502, 400])
def test_a_page_of_html_is_not_an_xms(xms: Xms, hasty: XtremIoStorage, status: int) -> None:
    xms.html(100, status=status)
    said_so = r"xtremio\.endpoint \(\$GOXTREMIO_ENDPOINT\)" if status != 502 else r"HTTP 502"
    fails(Unavailable, said_so, lambda: list(hasty.volumes()))
    assert isinstance(outcome(lambda: hasty.create(spec("data", 1))), Unavailable)
    assert named(xms) == []


def test_a_page_of_html_in_the_place_of_a_change_is_looked_behind(xms: Xms, hasty: XtremIoStorage) -> None:
    for method, pattern in (("POST", "types/volumes"), ("POST", "lun-maps"), ("DELETE", "lun-maps"), ("DELETE", "vol")):
        xms.html(1, method=method, pattern=pattern)
    made = hasty.create(spec("data", 1))
    hasty.attach(made.id, HERE)
    for call in (hasty.detach, hasty.remove):  # what may still happen is not asked for again by itself
        fails(NoAnswer, "as an XMS does.*may still be", partial(call, made.id))
        call(made.id)
    assert named(xms) == []
    assert xms.faults.left == 0


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (403, Forbidden, "xtremio.userName"),
        (404, SettingsError, "xtremio.endpoint"),
        (405, SettingsError, "xtremio.endpoint"),
        (500, Unavailable, "HTTP 500: some words"),
        (503, Unavailable, "HTTP 503: some words"),
    ],
)
def test_other_statuses_have_their_errors(
    xms: Xms, hasty: XtremIoStorage, status: int, kind: type[RexrayError], text: str
) -> None:
    xms.refuse("GET", "types/volumes", status=status, message="some words", times=10)
    assert text in fails(kind, "GET volumes", lambda: list(hasty.volumes()))


def test_an_endpoint_that_is_something_else_is_told(xms: Xms) -> None:
    wrong = driver(xms, GOXTREMIO_ENDPOINT=xms.url.replace("/api/json", "/other"))
    fails(SettingsError, r"HTTP 404.*xtremio\.endpoint", lambda: list(wrong.volumes()))


def test_a_throttled_call_is_made_again(xms: Xms, storage: XtremIoStorage) -> None:
    xms.throttle(2, "0", "POST")
    storage.create(spec("data", 1))
    assert named(xms) == ["data"]


def test_an_xms_that_is_too_old_is_told() -> None:
    with Xms(version="2.4.1") as xms:
        fails(Unsupported, r"XMS 2\.4\.1: 3\.0 is the first", lambda: list(driver(xms).volumes()))


def test_an_xms_that_tells_no_version_is_told() -> None:
    with Xms() as xms:
        xms.html(1, pattern="types/xms")
        fails(Unavailable, "as an XMS does", lambda: list(driver(xms).volumes()))


@pytest.mark.parametrize(
    ("version", "v2"), [("3.0.1-11", False), ("4.0.0-64", True), ("4.2.0-30", True), ("6.2.1", True)]
)
def test_the_version_of_the_rest_is_that_of_the_xms(version: str, v2: bool) -> None:
    with Xms(version=version) as xms:
        storage = driver(xms)
        made = storage.create(spec("data", 1))
        assert storage.volume(made.id) == made
        assert {"/v2/" in call.path for call in xms.calls if "volumes" in call.path} == {v2}


def test_json_that_is_no_xmss_is_told() -> None:
    for text in ("[]", "17", '"x"', "nonsense"):
        answer = Answer(status=200, text=text, headers={})
        for method, kind in (("GET", Unavailable), ("POST", NoAnswer)):
            fails(kind, "as an XMS does", partial(content_of, answer, method, "volumes", "https://xms"))


def test_one_probe_is_made_for_many_threads(xms: Xms) -> None:
    storage = driver(xms)
    gate = threading.Barrier(WIDTH)

    def ask(_: int) -> object:
        gate.wait(30)
        return storage.capacity()

    assert len(set(map(repr, at_once(ask, range(WIDTH))))) == 1
    made = [words(call) for call in xms.calls]
    assert made.count("GET xms") == 1
    assert len(made) == WIDTH + 2


def test_every_request_has_credentials_of_its_own_and_no_secret_in_its_url(xms: Xms, storage: XtremIoStorage) -> None:
    storage.create(spec("data", 1))
    assert all(call.status in (200, 201) for call in xms.calls)
    assert environ(xms)["GOXTREMIO_PASSWORD"] not in str([(call.path, call.query) for call in xms.calls])
