"""Secrets are hidden however they are written, and what is no secret is left as it was."""

from __future__ import annotations

import base64
import gc
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rexray.redaction import HIDDEN, MOST_PASSING, Secrets, scrub
from rexray.settings import Secret, Sources, setting

SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=12, max_size=40).filter(
    lambda text: len(set(text.strip())) > 8 and not set(text) & set(HIDDEN)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeSettings:
    """Settings with secrets."""

    password: Secret = setting(Secret(""), key="acme.password", help="A secret")
    other: Secret = setting(Secret(""), key="acme.other", help="Another one")


@given(SECRETS, st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
@example("pä\"ss'w\\ord / & <geheim> %41 + =", "admin")
def test_a_secret_is_hidden_however_it_is_written(secret: str, user: str) -> None:
    secrets = Secrets()
    secrets.register(secret)
    basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
    url_safe = base64.urlsafe_b64encode(f"{user}:{secret}:more".encode()).decode()
    forms = [
        secret,
        repr(secret)[1:-1],
        repr(repr(secret)[1:-1])[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(repr(secret)[1:-1])[1:-1],
        repr(secret.encode())[2:-1],
        quote(secret),
        quote(secret, safe="").lower() if secret.isascii() and secret.islower() else quote(secret, safe=""),
        quote_plus(secret),
        basic,
        url_safe,
    ]
    for form in forms:
        assert form not in secrets.scrub(f"before {form} after"), form
        assert secrets.scrub(f"before {form} after").startswith("before "), form
        assert secrets.scrub(f"before {form} after").endswith(" after"), form


def test_a_password_is_hidden_in_http_basic_whatever_the_user_is_called() -> None:
    secrets = Secrets()
    secrets.register("correct horse battery")
    for user in ("", "a", "ab", "abc", "abcd"):
        word = base64.b64encode(f"{user}:correct horse battery".encode()).decode()
        assert secrets.scrub(f"Authorization: Basic {word}\r\n") == "Authorization: Basic ***\r\n"


def test_a_short_secret_is_hidden_as_a_word_and_left_in_others() -> None:
    secrets = Secrets()
    secrets.register("root1")
    assert secrets.scrub("user=root1 in chroot1, root12, aroot1; root1") == "user=*** in chroot1, root12, aroot1; ***"


def test_of_a_secret_within_another_one_no_rest_is_left() -> None:
    secrets = Secrets()
    secrets.register("hunter22")
    secrets.register("hunter22-and-more", passing=True)
    assert secrets.scrub("hunter22-and-more, hunter22") == f"{HIDDEN}, {HIDDEN}"


def test_what_the_garbage_collector_logs_while_a_text_is_scrubbed_waits_for_nothing() -> None:
    done = threading.Event()

    class Logging:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            scrub("said at the end")

    def work() -> None:
        for number in range(5000):
            gc.set_threshold(2 + number % 28)
            Logging()
            kept = [[number] for _ in range(number % 20)]
            scrub(f"said meanwhile {len(kept)}")
        done.set()

    before = gc.get_threshold()
    try:
        threading.Thread(target=work, daemon=True).start()
        assert done.wait(60)
    finally:
        gc.set_threshold(*before)


def test_a_long_text_in_base64_beside_a_secret_takes_no_longer_than_others() -> None:
    secrets = Secrets()
    secrets.register("correct horse battery")
    word = base64.b64encode(b"user:correct horse battery").decode()
    before = time.process_time()
    assert secrets.scrub(f"{word} {'A' * 100_000}") == f"{HIDDEN} {'A' * 100_000}"
    assert time.process_time() - before < 5


@pytest.mark.parametrize("secret", ["", "a", "1", "ab", "   ", "\n"])
def test_what_is_too_short_to_be_told_from_other_text_is_left(secret: str) -> None:
    secrets = Secrets()
    secrets.register(secret)
    assert secrets.scrub("a ab 1 \n   .") == "a ab 1 \n   ."


def test_text_without_a_secret_is_left_as_it_is() -> None:
    secrets = Secrets()
    secrets.register("hunter2-hunter2")
    text = "volume 'data' is 8 GiB; {'a': \"b\"} %2F aHVudGVyMQ=="
    assert secrets.scrub(text) == text


def test_what_comes_back_from_registering_is_the_secret() -> None:
    assert Secrets().register("token-1234567") == "token-1234567"


def test_passing_secrets_are_bounded_and_what_is_said_again_is_kept_and_a_setting_for_ever() -> None:
    secrets = Secrets()
    secrets.register("setting-setting")
    for number in range(MOST_PASSING + 10):
        secrets.register("kept-kept-kept", passing=True)
        secrets.register(f"passing-{number}-passing", passing=True)
    assert secrets.scrub("kept-kept-kept setting-setting") == f"{HIDDEN} {HIDDEN}"
    assert secrets.scrub("passing-0-passing") == "passing-0-passing"
    assert secrets.scrub(f"passing-{MOST_PASSING}-passing") == HIDDEN


def test_the_process_knows_the_secrets_of_its_settings_as_they_are_loaded(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("canary of a file\n")
    kept.chmod(0o600)
    Sources(environ={"ACME_PASSWORD": "canary of a variable", "ACME_OTHER": f"file:{kept}"}).load(AcmeSettings)
    assert scrub("canary of a variable, canary of a file") == f"{HIDDEN}, {HIDDEN}"
    assert str(kept) == scrub(str(kept))
