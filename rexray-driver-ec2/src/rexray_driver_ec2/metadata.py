"""The instance metadata service: what an instance may know of itself without credentials.

Facts: AWS, "Use the Instance Metadata Service to access instance metadata" and "Instance identity documents": version 2
is a ``PUT`` for a token of 1 to 21600 seconds, which every ``GET`` then has as a header; 401 says that the token is
missing or has expired, 403 that the service is switched off for the instance. The answer to the ``PUT`` lives for as
many network hops as the instance allows, one by default: in a container on a bridge it does not arrive. The block
device mapping has the volumes that were there when the instance was launched or last started.
"""

from __future__ import annotations

import functools
import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

from rexray import calls, redaction
from rexray.deadlines import within
from rexray.errors import Busy, SettingsError, TimedOut, Unavailable
from rexray_driver_ec2.settings import Ec2Settings

_REQUEST_SECONDS = 1.0
_TRIES = 2
_FAILURE_SECONDS = 30.0
"""How long it is believed that the service cannot tell who this host is."""

_TOKEN_SECONDS = 21600
_TOKEN_USE = 0.9
"""For how much of its life a token is used."""
_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
_TOKEN_HEADER = "X-aws-ec2-metadata-token"

_TOKEN_PATH = "/latest/api/token"
_IDENTITY_PATH = "/latest/dynamic/instance-identity/document"
_MAPPING_PATH = "/latest/meta-data/block-device-mapping/"

_LARGEST_ANSWER = 1 << 16
_NO_TOKENS = (404, 405, 501)
"""What a service answers that has no version 2."""
_PASSING = (429, 500, 502, 503, 504)

_WORD = re.compile(r"[A-Za-z0-9-]{1,64}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_ENTRY = re.compile(r"[a-z]{1,32}[0-9]{0,4}")
_DEVICE = re.compile(r"(/dev/)?[A-Za-z0-9/_-]{1,64}")

_ELSEWHERE = "set REXRAY_REMOTEMANAGEMENT=true and ec2.instanceID where REX-Ray does not run on an EC2 instance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who an instance is; all but ``instance_id`` may be empty where an instance is managed from elsewhere."""

    instance_id: str
    region: str
    zone: str = ""
    instance_type: str = ""
    account_id: str = ""


class Host:
    """This host as the instance metadata service knows it; safe to be used by several threads.

    With ``remote`` it is the instance that the settings name, and the service is never asked. ``clock`` tells seconds
    that only grow. The constructor asks nobody; ``SettingsError`` if the endpoint is no URL.
    """

    def __init__(self, settings: Ec2Settings, *, remote: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = _Service(settings.metadata_endpoint, v1=settings.metadata_v1, clock=clock)
        self._remote, self._clock = remote, clock
        self._lock = threading.Lock()
        self._disabled = settings.metadata_disabled
        self._identity: Identity | None = None
        self._failure = ""
        self._failed_until = 0.0
        if remote:
            self._identity = Identity(instance_id=settings.instance_id, region=settings.region)

    @property
    def identity(self) -> Identity:
        """Who this host is. Asked once: a success is kept for ever, a failure for 30 seconds.

        ``Unavailable`` if the service does not answer, is switched off, or answers what cannot be understood.
        """
        with self._lock:
            if self._identity is None:
                if self._disabled:
                    raise Unavailable(f"$AWS_EC2_METADATA_DISABLED: the metadata service is not asked: {_ELSEWHERE}")
                if self._failure and self._clock() < self._failed_until:
                    raise Unavailable(self._failure)
                try:
                    self._identity = self._ask_identity()
                except Unavailable as error:
                    self._failure, self._failed_until = str(error), self._clock() + _FAILURE_SECONDS
                    raise
            return self._identity

    def block_devices(self) -> Mapping[str, str]:
        """The instance's block device mapping: device names as they were asked for, such as ``sdb`` or ``/dev/xvda``.

        The keys are ``root``, ``ami``, ``swap``, ``ephemeralN`` (an instance store volume) and ``ebsN`` (an EBS volume
        that was there when the instance was last started). Empty for an instance that has none, and for a remote one.
        Errors as of :attr:`identity`.
        """
        if self._remote:
            return {}
        _ = self.identity  # a host that is no instance is asked once in 30 s, and not once a call
        found = {}
        for entry in (self._service.get(_MAPPING_PATH) or "").split():
            if not _ENTRY.fullmatch(entry):
                self._service.malformed(_MAPPING_PATH, f"has an entry {entry[:40]!r}")
            device = self._service.get(_MAPPING_PATH + entry)
            if device is None:
                continue
            if not _DEVICE.fullmatch(device := device.strip()):
                self._service.malformed(_MAPPING_PATH + entry, f"is {device[:40]!r}, which is no device's name")
            found[entry] = device
        return found

    def _ask_identity(self) -> Identity:
        text = self._service.get(_IDENTITY_PATH)
        if text is None:
            self._service.malformed(_IDENTITY_PATH, "is missing (404)")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            self._service.malformed(_IDENTITY_PATH, "is no JSON")
        if not isinstance(document, dict):
            self._service.malformed(_IDENTITY_PATH, "is no JSON object")

        def word(key: str, *, needed: bool = False) -> str:
            value = document.get(key)
            if value in (None, "") and not needed:
                return ""
            # Types of instances have a dot.
            if not isinstance(value, str) or not _WORD.fullmatch(value.replace(".", "-")):
                self._service.malformed(_IDENTITY_PATH, f"has no usable {key!r}")
            return value

        return Identity(
            instance_id=word("instanceId", needed=True),
            region=word("region", needed=True),
            zone=word("availabilityZone"),
            instance_type=word("instanceType"),
            account_id=word("accountId"),
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str
    token_seconds: str


class _Service:
    """The service at an endpoint: requests with a token, and what its refusals mean.

    ``http.client`` knows nothing of proxies, which is what a link-local address needs.
    """

    def __init__(self, endpoint: str, *, v1: bool, clock: Callable[[], float]) -> None:
        self._host, self._port, self._prefix = _parse(endpoint)
        self._name, self._v1, self._clock = endpoint, v1, clock
        self._lock = threading.Lock()
        self._token: str | None = None
        """Empty where the service has none to give and may be asked without."""
        self._renew_at = 0.0

    def get(self, path: str) -> str | None:
        """The text at a path, None where there is none (404); ``Unavailable``."""
        token = self._current_token()
        answer = self._get(path, token)
        if answer.status == 401:
            answer = self._get(path, self._current_token(refused=token))
        if answer.status == 404:
            return None
        if answer.status == 401:
            raise Unavailable(f"{self._service_at} refuses the token that it has just given, for {path}")
        if answer.status != 200:
            self._refuse(answer.status, path)
        if len(answer.text) > _LARGEST_ANSWER:
            self.malformed(path, f"has more than {_LARGEST_ANSWER} characters")
        return answer.text

    def malformed(self, path: str, what: str) -> NoReturn:
        """``Unavailable``: what is at the path makes no sense."""
        raise Unavailable(f"{self._service_at} answers what cannot be used: {path} {what}; is it EC2's? {_ELSEWHERE}")

    @property
    def _service_at(self) -> str:
        return f"this host's instance metadata service {self._name}"

    def _get(self, path: str, token: str) -> _Answer:
        return self._request("GET", path, {_TOKEN_HEADER: token} if token else {})

    def _current_token(self, refused: str | None = None) -> str:
        """A token that is good for some time yet, another one than a refused one; empty where none is needed."""
        with self._lock:
            if self._token is None or self._token == refused or self._clock() >= self._renew_at:
                self._token = None
                asked = self._clock()
                self._token, seconds = self._new_token()
                self._renew_at = asked + seconds * _TOKEN_USE
            return self._token

    def _new_token(self) -> tuple[str, float]:
        answer = self._request("PUT", _TOKEN_PATH, {_TTL_HEADER: str(_TOKEN_SECONDS)})
        if answer.status in _NO_TOKENS:
            if self._v1:
                return "", _TOKEN_SECONDS
            raise Unavailable(
                f"{self._service_at} gives no token (status {answer.status} for {_TOKEN_PATH}): set ec2.metadataV1 "
                f"($EC2_METADATAV1) if it only has version 1, or {_ELSEWHERE}"
            )
        if answer.status != 200:
            self._refuse(answer.status, _TOKEN_PATH)
        token = redaction.register(answer.text.strip(), passing=True)
        if not _TOKEN.fullmatch(token):
            self.malformed(_TOKEN_PATH, "is no token")
        granted = answer.token_seconds.strip()
        given = int(granted) if granted.isdecimal() and len(granted) < 9 else _TOKEN_SECONDS
        return token, float(min(given, _TOKEN_SECONDS))

    def _refuse(self, status: int, path: str) -> NoReturn:
        if status == 403:
            raise Unavailable(
                f"{self._service_at} is switched off for this instance (status 403): switch it on with 'aws ec2 "
                "modify-instance-metadata-options --http-endpoint enabled', or set REXRAY_REMOTEMANAGEMENT=true and "
                "ec2.instanceID"
            )
        raise Unavailable(f"{self._service_at} answers with status {status} for {path}: try again, or {_ELSEWHERE}")

    def _request(self, method: str, path: str, headers: Mapping[str, str]) -> _Answer:
        """The service's answer, asked for once more if the first attempt failed for a reason that may pass."""
        for left in reversed(range(_TRIES)):
            try:
                with calls.call(calls.PLATFORM, f"{method} instance metadata", driver="ec2"):
                    # The time limit of a socket starts anew with every byte that arrives.
                    answer = within(
                        2 * _REQUEST_SECONDS,
                        f"{method} {self._name}{path}",
                        functools.partial(self._exchange, method, path, headers),
                    )
            except (OSError, http.client.HTTPException, TimedOut, Busy) as error:
                if left == 0:
                    self._unreachable(method, path, error)
            else:
                if answer.status not in _PASSING or left == 0:
                    return answer
        raise AssertionError("the last attempt returns or raises")

    def _unreachable(self, method: str, path: str, error: Exception) -> NoReturn:
        if not isinstance(error, (TimeoutError, TimedOut, Busy)):
            reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise Unavailable(f"{self._service_at} cannot be asked for {path} ({reason}): {_ELSEWHERE}") from None
        hops = "; in a container, the instance's metadata hop limit has to be 2" if method == "PUT" else ""
        raise Unavailable(f"{self._service_at} does not answer: {_ELSEWHERE}{hops}") from None

    def _exchange(self, method: str, path: str, headers: Mapping[str, str]) -> _Answer:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_REQUEST_SECONDS)
        try:
            connection.request(method, self._prefix + path, headers={**headers, "Connection": "close"})
            response = connection.getresponse()
            body = response.read(_LARGEST_ANSWER + 1)
            return _Answer(response.status, body.decode("latin-1"), response.getheader(_TTL_HEADER, ""))
        finally:
            connection.close()


def _parse(endpoint: str) -> tuple[str, int, str]:
    """Host, port and the prefix of paths; ``SettingsError`` names the setting."""
    try:
        url = urlsplit(endpoint)
        host, port = url.hostname or "", url.port or 80
        host.encode("idna")
    except ValueError:
        host, port = "", 0
    plain = re.fullmatch(r"[\x21-\x7e]+", endpoint) is not None
    if not plain or not host or url.scheme != "http" or url.username is not None or url.query or url.fragment:
        raise SettingsError(
            f"ec2.metadataEndpoint ($AWS_EC2_METADATA_SERVICE_ENDPOINT): {endpoint!r} is not a URL such as "
            "http://169.254.169.254 or http://[fd00:ec2::254]"
        )
    return host, port, url.path.rstrip("/")
