"""The EC2 API: clients by region, each call paced, retried where that is safe, and its errors translated."""

from __future__ import annotations

import functools
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rexray import calls, redaction
from rexray.errors import SettingsError, Unauthorized, Unavailable
from rexray_driver_ec2.metadata import Host
from rexray_driver_ec2.pacing import Pacer
from rexray_driver_ec2.refusals import translate
from rexray_driver_ec2.retrying import Retries
from rexray_driver_ec2.settings import Ec2Settings

if TYPE_CHECKING:
    import boto3
    from types_boto3_ec2 import EC2Client

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
WIDTH = 64
"""How many connections a client keeps, for as many threads."""
_TALKATIVE = ("botocore.auth", "botocore.endpoint", "botocore.parsers")
"""botocore's loggers that show whole requests and answers at DEBUG: session tokens, and the keys of roles."""


class Api:
    """Clients of EC2, made when they are first needed: an import of boto3's model takes longer than a call."""

    def __init__(self, settings: Ec2Settings, host: Host) -> None:
        self._settings = settings
        self._host = host
        self._lock = threading.Lock()
        self._session: boto3.session.Session | None = None
        self._region = settings.region
        self._clients: dict[tuple[str, bool], EC2Client] = {}
        self._pacer = Pacer()

    @property
    def region(self) -> str:
        """The region: the configured one, else boto3's, else this instance's; ``SettingsError`` without any."""
        with self._lock:
            return self._find_region()

    @contextmanager
    def calling(self, action: str, what: str = "", *, region: str = "", once: bool = False) -> Iterator[EC2Client]:
        """The client for one call; what goes wrong inside is one of REX-Ray's errors.

        ``action`` is EC2's word for the call, ``what`` is what it is made for, for the error's text. ``once``: not
        to be made again by itself, for it may have taken effect although it failed.
        """
        client = self.client(region, once=once)
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        with calls.call(calls.PLATFORM, action, driver="ec2"):
            try:
                yield client
            except (BotoCoreError, ClientError, ResponseParserError, KeyError, OSError) as error:
                label = f"{action} of {what}" if what else action
                raise translate(error, label, client.meta.endpoint_url) from error

    def client(self, region: str = "", *, once: bool = False) -> EC2Client:
        """The client of a region, this one's if none is named; ``once`` is one that makes each call only once."""
        with self._lock:
            key = (region or self._find_region(), once)
            if key not in self._clients:
                self._clients[key] = self._make(*key)
            return self._clients[key]

    def _find_region(self) -> str:
        if not self._region:
            self._region = self._sdk().region_name or ""
        if not self._region:
            try:
                self._region = self._host.identity.region
            except Unavailable as error:
                raise SettingsError(f"ec2.region ($AWS_REGION) is not set, and {error}") from None
        if not self._region:
            raise SettingsError("ec2.region ($AWS_REGION) is not set: name the region")
        return self._region

    def _sdk(self) -> boto3.session.Session:
        if self._session is None:
            import boto3

            for name in _TALKATIVE:
                logging.getLogger(name).addFilter(_above_debug)  # a second time is as once
            settings = self._settings
            key = settings.access_key.reveal()
            # a token belongs to the keys that it came with, which may be boto3's own
            token = settings.session_token.reveal() if os.environ.get("AWS_ACCESS_KEY_ID", key) == key else ""
            with _settings_named(""):
                self._session = boto3.session.Session(
                    aws_access_key_id=key or None,
                    aws_secret_access_key=settings.secret_key.reveal() or None,
                    aws_session_token=(token if key else "") or None,
                )
        return self._session

    def _make(self, region: str, once: bool) -> EC2Client:
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=self._settings.timeout,
            max_pool_connections=WIDTH,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        session, endpoint = self._sdk(), self._settings.endpoint
        if endpoint and "://" not in endpoint:
            endpoint = f"https://{endpoint}"
        if f".{self._region}." in endpoint and region != self._region:
            endpoint = ""  # each region has its own
        with _settings_named(region):
            client = session.client("ec2", region_name=region, endpoint_url=endpoint or None, config=config)
        retries = Retries(self._pacer, most=self._settings.max_retries, once=once)
        client.meta.events.register("before-send.ec2", retries.before_send)
        client.meta.events.register("before-send.ec2", functools.partial(_hide_credentials, session))
        client.meta.events.register("after-call.ec2", _tell_answer)
        client.meta.events.register("needs-retry.ec2", retries.needs_retry)  # type: ignore[arg-type]  # the answer counts
        return client


def _hide_credentials(session: boto3.session.Session, **_: Any) -> None:
    """Let no log show the keys that a request was just signed with: those of a role change by themselves."""
    credentials = session.get_credentials()
    if credentials is not None:
        keys = credentials.get_frozen_credentials()
        for secret in (keys.secret_key, keys.token):
            redaction.register(secret or "", passing=True)


def _tell_answer(event_name: str, http_response: Any, parsed: Mapping[str, Any], **_: Any) -> None:
    """EC2's own id of the request, by which its support finds it; a refusal has it as well."""
    if log.isEnabledFor(logging.DEBUG):
        fields = {
            "call": event_name.rpartition(".")[2],
            "status": http_response.status_code,
            "platform_request_id": parsed.get("ResponseMetadata", {}).get("RequestId", ""),
        }
        log.debug("answer of EC2", extra={"fields": fields})


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


@contextmanager
def _settings_named(region: str) -> Iterator[None]:
    """Why there is no client is always a matter of settings."""
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError as error:
        found = translate(error, "EC2", f"region {region!r}")
        raise found if isinstance(found, SettingsError) else SettingsError(str(found)) from error
    except (OSError, json.JSONDecodeError) as error:
        raise Unauthorized(f"EC2: boto3 cannot get credentials: {error}") from error
    except ValueError as error:
        raise SettingsError(f"ec2.endpoint ($EC2_ENDPOINT): {error}") from error
