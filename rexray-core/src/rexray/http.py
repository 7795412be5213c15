"""HTTPS for drivers of platforms that have a REST API and no library worth having: ``rexray-core[http]``.

urllib3 has the connections, which threads share; this adds what such a driver must know: whether a request that
failed may have taken effect (:class:`NoAnswer`) or cannot have (:class:`NotSent`). Requests are repeated only where
that is safe. Redirects are not followed: they would carry credentials elsewhere. Nothing that is sent is ever logged
or shown in an error but the method and the path.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from rexray import calls
from rexray.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    import urllib3

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
WIDTH = 64
"""How many idle connections are kept, for as many threads."""
MOST_BYTES = 256 << 20
"""The longest answer that is read."""
REPEATS = 3
LONGEST_PAUSE = 8.0
"""Seconds; a server that asks for a longer pause before the next try is not waited for."""
_THROTTLED = 429
_OVERLOADED = 503
_FIRST_REFUSAL = 400
_PIECE = 1 << 16
_VERSION = re.compile(r"v[0-9]{1,2}")


class NotSent(Unavailable):
    """The request had no effect: it did not get as far as the server."""


class NoAnswer(Unavailable):
    """The request may have taken effect: it was sent, and the answer was lost or did not come in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server said; ``headers`` have names in lower case."""

    status: int
    text: str
    headers: Mapping[str, str]

    def json(self) -> Any:
        """The body as JSON; ``ValueError`` if it is not, as error pages of front ends are not."""
        return json.loads(self.text)


class Server:
    """One HTTPS server, for any number of threads. Nothing is sent before the first call.

    ``prefix`` is the driver's settings root, whose ``endpoint``, ``insecure`` and ``caFile`` the errors name.
    ``endpoint`` is a URL, ``https`` where it names no scheme. With ``ca_file`` that file's authorities are the only
    ones that are trusted, otherwise the system's are; ``insecure`` trusts any certificate, and plain HTTP.
    ``SettingsError``.
    """

    def __init__(self, endpoint: str, *, prefix: str, insecure: bool = False, ca_file: str = "") -> None:
        self._prefix, self._insecure, self._ca_file = prefix, insecure, ca_file
        self._endpoint = f"{prefix}.endpoint"
        parts = _parts(endpoint, self._endpoint)
        if parts.scheme == "http" and not insecure:
            raise SettingsError(
                f"{prefix}.endpoint: http would show the password to the network: use https, or set {prefix}.insecure"
            )
        self.base = parts.path.rstrip("/")
        """The path of the endpoint without a slash at its end; empty where it has none."""
        self.name = f"{parts.scheme}://{parts.netloc}"
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._lock = threading.Lock()
        self._pool: urllib3.HTTPConnectionPool | None = None

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Iterable[tuple[str, str | int]] = (),
        headers: Mapping[str, str] | None = None,
        body: object = None,
        seconds: float = ANSWER_SECONDS,
        once: bool = False,
    ) -> Answer:
        """Make a request and read its answer, whatever its status is; a ``body`` is sent as JSON.

        A GET is repeated when the connection breaks or the server is overloaded (503), any request that was throttled
        (429) or could not be sent; with ``once`` none, for what was true when it was made may not be later.
        ``NotSent``, or ``NoAnswer`` where it may have taken effect, or still will: giving up does not stop the server.
        """
        words = "&".join(f"{quote(key, safe='')}={quote(str(value), safe=':')}" for key, value in query)
        target = f"{path}?{words}" if words else path
        data = None if body is None else json.dumps(body).encode()
        until = time.monotonic() + seconds
        most = 0 if once else REPEATS
        for attempt in range(most + 1):
            left = until - time.monotonic()
            last = attempt == most or left <= 0
            try:
                answer = self._send_once(method, target, dict(headers or {}), data, max(left, 1.0))
            except NotSent as error:
                if last or isinstance(error, _Untrusted):
                    raise
                pause = 0.5 * 2.0**attempt
            except NoAnswer:
                if last or method != "GET":
                    raise
                pause = 0.2 * 2.0**attempt
            else:
                asked = _pause(answer, attempt)
                repeat = answer.status == _THROTTLED or (answer.status == _OVERLOADED and method == "GET")
                if not repeat or last or asked > LONGEST_PAUSE:
                    return answer
                pause = asked
            log.debug("%s %s is made again in %.1f s", method, path, pause)
            time.sleep(min(pause, max(until - time.monotonic(), 0.0)))
        raise AssertionError("the last attempt returns or raises")

    def _send_once(self, method: str, target: str, headers: dict[str, str], data: bytes | None, left: float) -> Answer:
        """One call of the platform, which has failed for who observes it where its status says so."""
        answer: Answer | None = None
        try:
            with calls.call(calls.PLATFORM, f"{method} {_kind_of(target)}", driver=self._prefix):
                answer = self._exchange(method, target, headers, data, left)
                if answer.status >= _FIRST_REFUSAL:
                    raise _Refused(f"status {answer.status}")
        except _Refused:
            assert answer is not None  # the status is that of an answer
        return answer

    def _exchange(self, method: str, target: str, headers: dict[str, str], data: bytes | None, left: float) -> Answer:
        import urllib3
        from urllib3 import exceptions as broken

        pool = self._connections()
        until = time.monotonic() + left
        try:
            answer = pool.urlopen(
                method,
                target,
                body=data,
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, left), read=left),
            )
            try:
                text = _read(answer, until)
            except BaseException:
                answer.close()
                raise
            finally:
                answer.release_conn()
        except broken.NewConnectionError as error:
            text = str(error).rpartition(": ")[2].rstrip(".")
            raise NotSent(f"{self.name} cannot be reached: {text}: check the network and {self._endpoint}") from None
        except broken.ConnectTimeoutError:
            raise NotSent(f"{self.name} cannot be reached: no connection within {CONNECT_SECONDS:g} s") from None
        except (broken.ReadTimeoutError, _TooLate):
            raise NoAnswer(f"{self.name} did not answer {method} {_shown(target)} within {left:.0f} s") from None
        except _TooLong:
            raise NoAnswer(
                f"{self.name} answered {method} {_shown(target)} with more than {MOST_BYTES} bytes: "
                f"check {self._endpoint}"
            ) from None
        except ValueError:
            raise NotSent(
                f"{self.name}: the user, the password or a token has characters that cannot be sent in a header"
            ) from None
        except (broken.HTTPError, OSError) as error:
            if refused := _refused_certificate(error):
                raise _Untrusted(
                    f"{self.name} cannot be reached: its certificate is not trusted ({refused}): give its authority's "
                    f"as {self._prefix}.caFile, or trust any by {self._prefix}.insecure"
                ) from None
            if time.monotonic() >= until:  # hung up on
                raise NoAnswer(f"{self.name} did not answer {method} {_shown(target)} within {left:.0f} s") from None
            # a TLS error, too, may be that of a connection that was lost after the request
            raise NoAnswer(
                f"the connection to {self.name} broke during {method} {_shown(target)}: check {self._endpoint}"
            ) from None
        return Answer(
            status=answer.status, text=text, headers={name.lower(): value for name, value in answer.headers.items()}
        )

    def _connections(self) -> urllib3.HTTPConnectionPool:
        with self._lock:
            if self._pool is None:
                self._pool = self._make_pool()
            return self._pool

    def _make_pool(self) -> urllib3.HTTPConnectionPool:
        import urllib3

        from rexray.http_deadlines import BoundedHttp, BoundedHttps

        if not self._secure:
            pool = urllib3.HTTPConnectionPool(self._host, self._port, maxsize=WIDTH)
            pool.ConnectionCls = BoundedHttp
            return pool
        import ssl

        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
        except OSError as error:
            raise SettingsError(
                f"{self._prefix}.caFile: {self._ca_file!r} has no certificates that can be read: {error.strerror}"
            ) from None
        if self._insecure:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # somebody said so, in a setting
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        secure = urllib3.HTTPSConnectionPool(
            self._host,
            self._port,
            maxsize=WIDTH,
            ssl_context=context,
            cert_reqs="CERT_NONE" if self._insecure else "CERT_REQUIRED",
            assert_hostname=False if self._insecure else None,
        )
        secure.ConnectionCls = BoundedHttps
        return secure


class _Refused(Exception):
    """The server answered that it did not do what was asked."""


class _Untrusted(NotSent):
    """The server's certificate is not one to trust, and will not be the next time."""


class _TooLate(Exception):
    """The answer was still coming when its time was up."""


class _TooLong(Exception):
    """The answer was longer than any that makes sense."""


def basic(user: str, password: str) -> str:
    """The value of an Authorization header for HTTP's Basic scheme (RFC 7617), in UTF-8."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _parts(endpoint: str, setting: str) -> Any:
    """The parts of the URL; a password in it is refused without being shown."""
    url = endpoint.strip()
    no_url = SettingsError(f"{setting}: this is no URL such as https://host:443/api")
    if "@" in url:
        raise SettingsError(f"{setting}: a URL with a user or a password in it would show them: give them as settings")
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        port = parts.port
    except ValueError:
        raise no_url from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise no_url
    return parts


def _refused_certificate(error: BaseException) -> str:
    """What was wrong with the server's certificate; empty if that is not why the request failed.

    What the error itself is made of counts, not what its caller was handling meanwhile (``__context__``).
    """
    import ssl

    seen: object = error
    while isinstance(seen, BaseException):
        if isinstance(seen, ssl.SSLCertVerificationError):
            return seen.verify_message
        seen = seen.__cause__ or (seen.args[0] if seen.args else None)
    return ""


def _read(answer: Any, until: float) -> str:
    pieces: list[bytes] = []
    size = 0
    while piece := answer.read1(_PIECE, decode_content=True):  # what is there, however little
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise _TooLong
        if time.monotonic() > until:
            raise _TooLate
    return b"".join(pieces).decode("utf-8", "replace")


def _pause(answer: Answer, attempt: int) -> float:
    """Seconds until the next try: what the server asks for, else twice as long each time."""
    asked = answer.headers.get("retry-after", "")
    return float(asked) if asked.isascii() and asked.isdigit() else 0.5 * 2.0**attempt


def _kind_of(target: str) -> str:
    """The path of a request without what says which thing is meant: ``/api/instances/Volume::*/action/setVolumeSize``.

    What is left are words and versions (``v2``), and nothing that has a number or any other character in it.
    """
    return "/".join(_word_of(segment) for segment in _shown(target).split("/"))


def _word_of(segment: str) -> str:
    kind, colons, _ = segment.partition("::")
    if colons and kind.isalpha():
        return f"{kind}::*"
    return segment if not segment or (segment.isascii() and segment.isalpha()) or _VERSION.fullmatch(segment) else "*"


def _shown(target: str) -> str:
    return target.partition("?")[0]
