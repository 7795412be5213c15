"""The gateway's tokens are secrets, and a log that repeats a login shows neither them nor the password."""

from __future__ import annotations

import base64

from gateway_parts import Gateway
from rexray.http import basic
from rexray.redaction import HIDDEN, scrub
from rexray_driver_scaleio.storage import ScaleIoStorage


def test_the_token_of_a_login_is_hidden_from_logs(gateway: Gateway, driver: ScaleIoStorage) -> None:
    assert list(driver.volumes()) == []
    header = driver._array._gateway._authorization.get()
    token = base64.b64decode(header.partition(" ")[2]).decode().partition(":")[2]
    assert len(token) > 16
    for text in (token, header, basic(gateway.username, gateway.password)):
        assert HIDDEN in scrub(text)
        assert token not in scrub(text)
    assert scrub(header) == "Basic ***"
