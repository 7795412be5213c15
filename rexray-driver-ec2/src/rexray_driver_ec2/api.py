"""The EC2 API: clients by region, each call paced, retried where that is safe, and its errors translated."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rexray.errors import RexrayError, SettingsError, Unavailable
from rexray_driver_ec2.metadata import Host
from rexray_driver_ec2.pacing import Pacer
from rexray_driver_ec2.refusals import is_throttled, translate
from rexray_driver_ec2.settings import Ec2Settings

if TYPE_CHECKING:
    import boto3
    from types_boto3_ec2 import EC2Client

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
WIDTH = 64
"""How many connections a client keeps, for as many threads."""


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

        try:
            yield client
        except RexrayError:
            raise
        except (BotoCoreError, ClientError) as error:
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

            access, secret = self._settings.access_key, self._settings.secret_key
            with _settings_named(""):
                self._session = boto3.session.Session(
                    aws_access_key_id=access.reveal() or None, aws_secret_access_key=secret.reveal() or None
                )
        return self._session

    def _make(self, region: str, once: bool) -> EC2Client:
        from botocore.config import Config

        attempts = 1 if once else self._settings.max_retries + 1
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=WIDTH,
            retries={"mode": "standard", "total_max_attempts": attempts},
        )
        session = self._sdk()
        with _settings_named(region):
            client = session.client(
                "ec2", region_name=region, endpoint_url=self._settings.endpoint or None, config=config
            )
        client.meta.events.register("before-send.ec2", self._before_send)
        client.meta.events.register("response-received.ec2", self._response_received)
        return client

    def _before_send(self, event_name: str, **_: Any) -> None:
        self._pacer.wait(event_name.rpartition(".")[2])

    def _response_received(self, event_name: str, parsed_response: Any, **_: Any) -> None:
        if parsed_response and is_throttled(parsed_response.get("Error", {}).get("Code", "")):
            self._pacer.throttled(event_name.rpartition(".")[2])


@contextmanager
def _settings_named(region: str) -> Iterator[None]:
    """Why there is no client is always a matter of settings."""
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except ValueError as error:
        raise SettingsError(f"ec2.endpoint ($EC2_ENDPOINT): {error}") from error
    except BotoCoreError as error:
        found = translate(error, "EC2", f"region {region!r}")
        raise found if isinstance(found, SettingsError) else SettingsError(str(found)) from error
