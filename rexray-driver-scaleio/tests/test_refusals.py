"""What the gateway refuses becomes an error of one line that names the cause and what to do, and never a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_parts import Gateway
from rexray.errors import (
    AlreadyExists,
    Busy,
    Forbidden,
    InUse,
    InvalidRequest,
    NotFound,
    NotReady,
    OutOfCapacity,
    OutOfRange,
    RexrayError,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from rexray.http import Answer
from rexray_driver_scaleio.refusals import _CODES, Why, refusal, why
from scaleio_parts import GIB, names_in, refused, spec, storage

TABLE: dict[int, tuple[type[RexrayError], Why, str]] = {
    3: (NotFound, Why.NO_SUCH_NAME, ""),
    79: (NotFound, Why.NO_VOLUME, ""),
    80: (NotFound, Why.NO_SDC, "drv_cfg --query_mdms"),
    81: (AlreadyExists, Why.MAPPED_TO_IT, ""),
    82: (InUse, Why.MAPPED_TO_ALL, ""),
    84: (NotFound, Why.NOT_MAPPED, ""),
    87: (OutOfCapacity, Why.OTHER, "as many mappings"),
    88: (NotFound, Why.NO_VOLUME, ""),
    90: (NotFound, Why.NO_SDC, ""),
    99: (AlreadyExists, Why.NAME_IN_USE, ""),
    104: (InUse, Why.IS_MAPPED, "detach it first"),
    133: (OutOfRange, Why.NOT_LARGER, ""),
    142: (InvalidRequest, Why.OTHER, "scaleio.protectionDomainName"),
    168: (Forbidden, Why.OTHER, "role"),
    171: (InvalidRequest, Why.OTHER, "scaleio.storagePoolName"),
    182: (OutOfCapacity, Why.OTHER, "remove snapshots"),
    183: (NotFound, Why.NO_VOLUME, ""),
    190: (OutOfRange, Why.OTHER, ""),
    191: (OutOfCapacity, Why.OTHER, "another pool"),
    212: (Busy, Why.BEING_REMOVED, "try again later"),
    225: (OutOfRange, Why.OTHER, "multiples of 8 GiB"),
    226: (InvalidRequest, Why.OTHER, ""),
    227: (InvalidRequest, Why.OTHER, ""),
    247: (Forbidden, Why.OTHER, "role"),
    294: (OutOfCapacity, Why.OTHER, "detach"),
    297: (InUse, Why.MAPPED_ELSEWHERE, ""),
    300: (OutOfCapacity, Why.OTHER, "another pool"),
    314: (OutOfCapacity, Why.OTHER, "another pool"),
    315: (InUse, Why.MAPPED_ELSEWHERE, ""),
    322: (NotReady, Why.OTHER, "approve"),
    337: (OutOfCapacity, Why.OTHER, "room"),
    717: (Busy, Why.OTHER, "migration"),
    718: (Busy, Why.OTHER, "migration"),
    4037: (AlreadyExists, Why.MAPPED_TO_IT, ""),
    4039: (NotFound, Why.NOT_MAPPED, ""),
}
"""What each code of the facts has to become."""

PAGE = "<html><head><title>503</title></head><body>\n<h1>Service</h1></body></html>"


def answered(status: int, body: object) -> Answer:
    return Answer(status=status, text=body if isinstance(body, str) else json.dumps(body), headers={})


def body_of(code: int, in_details: bool, message: str = "The array's\n own words.") -> dict[str, Any]:
    if not in_details:
        return {"message": message, "httpStatusCode": 500, "errorCode": code}
    details = [{"rc": code, "error": "SOME_SYMBOL", "errorMessage": message}]
    return {"message": "Error with details", "httpStatusCode": 500, "errorCode": 0, "details": details}


def test_every_code_of_the_driver_is_proven_here() -> None:
    assert set(TABLE) == set(_CODES)


@pytest.mark.parametrize("in_details", [False, True], ids=["head", "details"])
@pytest.mark.parametrize("code", sorted(TABLE))
def test_a_code_becomes_its_error_with_the_arrays_own_words(code: int, in_details: bool) -> None:
    kind, reason, hint = TABLE[code]
    error = refusal(answered(500, body_of(code, in_details)), "volume 'data'")
    assert type(error) is kind
    assert why(error) is reason
    assert str(error).startswith(f"volume 'data': The array's own words (code {code})")
    assert hint in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("in_details", [False, True], ids=["head", "details"])
@pytest.mark.parametrize("code", sorted(set(TABLE) - {79, 99, 212}))
def test_a_code_reaches_who_asked_for_a_volume(gateway: Gateway, code: int, in_details: bool) -> None:
    body = body_of(code, in_details, "Words")
    gateway.refuse(
        "POST",
        "Volume/instances$",
        status=500,
        code=body["errorCode"],
        message=body["message"],
        details=body.get("details"),
    )
    refused(TABLE[code][0], f"'data': Words \\(code {code}\\)", lambda: storage(gateway).create(spec("data")))
    assert names_in(gateway) == []


def test_the_old_code_of_a_volume_that_is_not_there_needs_its_words() -> None:
    assert why(refusal(answered(500, body_of(78, False, "Could not find the Volume")), "x")) is Why.NO_VOLUME
    other = refusal(answered(500, body_of(78, False, "Could not find the SDC")), "x")
    assert (type(other), why(other)) == (Unavailable, Why.OTHER)


@pytest.mark.parametrize("body", [body_of(9999, False), body_of(9999, True)])
def test_an_unknown_code_is_no_success_and_keeps_its_words(body: object) -> None:
    error = refusal(answered(500, body), "volume 'data'")
    assert (type(error), why(error)) == (Unavailable, Why.OTHER)
    assert "The array's own words" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, Unavailable),
        (400, InvalidRequest),
        (401, Unauthorized),
        (403, Forbidden),
        (404, Unsupported),
        (405, Unsupported),
        (406, InvalidRequest),
        (415, InvalidRequest),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        PAGE,
        "",
        "null",
        "[]",
        '"text"',
        "{}",
        '{"errorCode": null, "details": {"rc": 79}}',
        '{"message": ["x"], "errorCode": "many", "details": [null, 1, {"rc": "x"}]}',
        '{"message": "a\\n b", "httpStatusCode": 500, "errorCode": 0}',
        '{"errorCode": 1e999}',
    ],
)
def test_a_status_becomes_an_error_whatever_comes_with_it(status: int, kind: type[RexrayError], body: str) -> None:
    error = refusal(answered(status, body), "volume 'data'")
    assert type(error) is kind
    assert str(error).startswith("volume 'data': ")
    assert "\n" not in str(error)
    assert "<" not in str(error)
    assert why(error) is (Why.LOGGED_OUT if status in (401, 403) else Why.OTHER)


def test_long_words_are_cut() -> None:
    error = refusal(answered(500, body_of(99, False, "word " * 1000)), "x")
    assert len(str(error)) < 400


def test_a_page_for_people_is_no_answer_of_the_gateways(gateway: Gateway) -> None:
    driver = storage(gateway)
    made = driver.create(spec("data"))
    for status, kind in ((200, Unavailable), (404, Unsupported), (500, Unavailable)):
        gateway.html(status=status, pattern="/instances")
        text = refused(kind, f"^volume '{made.id}'", lambda: driver.volume(made.id))
        assert "<" not in text
    gateway.html(status=200, pattern="Volume/instances$")
    refused(Unavailable, "'more'.*JSON", lambda: driver.create(spec("more")))
    for pattern in ("removeVolume", "removeMappedSdc"):
        gateway.html(status=404, pattern=pattern)
    refused(Unsupported, "removing volume", lambda: driver.remove(made.id))
    assert names_in(gateway) == ["data"]


def test_a_gateway_that_passes_after_a_moment_is_waited_for(gateway: Gateway) -> None:
    driver = storage(gateway)
    fault = gateway.html(times=2, status=503, pattern="types/System")
    assert driver.zones() == (gateway.system_id,)
    assert fault.used == 2


@pytest.mark.parametrize("status", [401, 403])
def test_what_the_user_may_not_do_is_said_once_and_not_tried_on(gateway: Gateway, status: int) -> None:
    driver = storage(gateway)
    made = driver.create(spec("data"))
    fault = gateway.refuse("POST", "setVolumeSize", status=status, code=0, message="No", times=None)
    kind = Unauthorized if status == 401 else Forbidden
    refused(kind, "growing volume.*scaleio.userName", lambda: driver.expand(made.id, 16 * GIB), gateway.password)
    assert fault.used == 2


def test_a_removal_under_way_is_waited_for_and_not_for_ever(gateway: Gateway) -> None:
    driver = storage(gateway, SCALEIO_REMOVETIMEOUT="100ms")
    made = driver.create(spec("data"))
    fault = gateway.refuse("POST", "removeVolume", status=500, code=212, message="Being removed", times=None)
    refused(Busy, r"'data'.*\(code 212\)", lambda: driver.remove(made.id))
    assert fault.used == 2
    gateway.clear_faults()
    gateway.switches.removal_in_progress = 1
    driver.remove(made.id)
    assert names_in(gateway) == []


@pytest.mark.parametrize("code", sorted(set(TABLE) - {79, 88, 183, 212, 104}))
def test_no_other_refusal_of_a_removal_is_taken_for_success(gateway: Gateway, code: int) -> None:
    driver = storage(gateway)
    made = driver.create(spec("data"))
    gateway.refuse("POST", "removeVolume", status=500, code=code, message="Words", times=None)
    refused(TABLE[code][0], r"'data'.*Words", lambda: driver.remove(made.id))
    assert names_in(gateway) == ["data"]
