"""One login serves all threads, an ended one is followed by one new one, and no secret is ever shown."""

from __future__ import annotations

import base64
import logging

import pytest

from gateway_parts import Gateway, Switches
from rexray.errors import RexrayError, Unauthorized, Unavailable
from rexray.types import VolumeId
from scaleio_parts import asked, logins, refused, spec, storage, together

THREADS = 64


@pytest.fixture
def bearer() -> Gateway:
    return Gateway(version="4.5", switches=Switches(bearer=True))


def tokens(gateway: Gateway) -> list[str]:
    return list(gateway._sessions._sessions)


def test_nothing_is_asked_before_the_first_call(gateway: Gateway) -> None:
    storage(gateway)
    assert gateway.calls == []


def test_sixty_four_threads_log_in_once(gateway: Gateway) -> None:
    driver = storage(gateway)
    together(THREADS, lambda _: list(driver.volumes()), range(THREADS))
    assert asked(gateway)["GET /api/login"] == logins(gateway) == 1
    assert asked(gateway)["GET /api/types/Volume/instances"] == THREADS


def test_sixty_four_threads_log_in_once_with_a_bearer_token(bearer: Gateway) -> None:
    with bearer as gateway:
        driver = storage(gateway)
        together(THREADS, lambda _: list(driver.volumes()), range(THREADS))
        assert logins(gateway) == 1


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("ending", ["idle", "old", "logged out", "restarted"])
@pytest.mark.parametrize("is_bearer", [False, True], ids=["basic", "bearer"])
def test_an_ended_login_is_followed_by_one_for_all_threads(ending: str, status: int, is_bearer: bool) -> None:
    switches = Switches(expired_status=status, bearer=is_bearer)
    with Gateway(version="4.5" if is_bearer else "3.5", switches=switches) as gateway:
        driver = storage(gateway)
        made = driver.create(spec("data"))
        match ending:
            case "idle":
                gateway.clock.advance(601)
            case "old":
                switches.token_idle_seconds = 1e9
                gateway.clock.advance(28801)
            case "logged out":
                for token in tokens(gateway):
                    gateway._sessions.logout(token)
            case "restarted":
                gateway.restart()
        gateway.clear_calls()
        found = together(THREADS, lambda _: driver.volume(made.id).id, range(THREADS))
        assert found == [made.id] * THREADS
        assert logins(gateway) == 1


def test_what_changes_something_is_done_once_with_a_new_login(gateway: Gateway) -> None:
    driver = storage(gateway)
    driver.create(spec("data"))
    for number in range(3):
        gateway.clock.advance(601)
        driver.create(spec(f"more-{number}"))
    assert len(gateway.volumes()) == 4
    assert logins(gateway) == 4


def test_a_wrong_password_is_said_and_tried_once(gateway: Gateway) -> None:
    driver = storage(gateway, GOSCALEIO_PASSWORD="wrong-secret")
    said = r"^login: .*scaleio\.userName \(\$GOSCALEIO_USERNAME\) and scaleio\.password \(\$GOSCALEIO_PASSWORD\)"
    refused(Unauthorized, said, lambda: driver.remove(VolumeId("00000000000000ff")), "wrong-secret")
    assert asked(gateway)["GET /api/login"] == 1


def test_sixty_four_threads_with_a_wrong_password_do_not_lock_the_account(gateway: Gateway) -> None:
    driver = storage(gateway, GOSCALEIO_PASSWORD="wrong-secret")
    gateway.slow("GET", "login", 0.5)

    def fails(_: int) -> bool:
        try:
            list(driver.volumes())
        except Unauthorized:
            return True
        return False

    assert all(together(THREADS, fails, range(THREADS)))
    assert asked(gateway)["GET /api/login"] <= 4


def test_a_password_that_is_mended_on_the_gateway_is_tried_again(gateway: Gateway) -> None:
    driver = storage(gateway)
    gateway.refuse("GET", "login", status=401, code=0, message="Unauthorized")
    refused(Unauthorized, "login", driver.zones)
    assert driver.zones() == (gateway.system_id,)


def test_what_is_no_gateway_is_said_to_be_none(gateway: Gateway) -> None:
    gateway.html(times=None, status=200)
    refused(Unavailable, r"no gateway of ScaleIO's: check scaleio\.endpoint", storage(gateway).zones)
    gateway.clear_faults()
    gateway.html(times=None, status=404)
    with pytest.raises(RexrayError, match="login"):
        storage(gateway).zones()


@pytest.mark.parametrize("is_bearer", [False, True], ids=["basic", "bearer"])
def test_neither_password_nor_token_is_ever_shown(is_bearer: bool, caplog: pytest.LogCaptureFixture) -> None:
    version, switches = ("4.5" if is_bearer else "3.5"), Switches(bearer=is_bearer)
    shown: list[str] = []
    with caplog.at_level(logging.DEBUG), Gateway(version=version, switches=switches) as gateway:
        driver = storage(gateway)
        driver.create(spec("data"))
        known = tokens(gateway)
        gateway.lose_answer("GET", "login")
        gateway.throttle(times=2)
        gateway.clock.advance(601)
        driver.create(spec("more"))
        known += tokens(gateway)
        gateway.drop_before(".*", ".*", times=None)
        for call in (lambda: list(driver.volumes()), lambda: driver.create(spec("late"))):
            with pytest.raises(Unavailable) as caught:
                call()
            shown += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
        gateway.stop()
        with pytest.raises(Unavailable) as caught:
            storage(gateway).zones()
        shown += [str(caught.value), repr(driver), repr(driver._gateway), repr(driver._settings), caplog.text]
        secrets = {gateway.password, *known}
        secrets |= {base64.b64encode(f"admin:{secret}".encode()).decode() for secret in secrets}
    assert len(known) >= 2
    assert "login" in caplog.text
    for text in shown:
        assert not [secret for secret in secrets if secret in text]
