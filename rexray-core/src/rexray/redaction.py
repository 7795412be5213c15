"""The secrets that this process knows, and texts without them.

Settings say their secrets as they are loaded; who gets one at run time (a session's token, what a request brings) says
it where it comes in. A log, an error on the wire and whatever else leaves the process goes through :func:`scrub`.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

HIDDEN = "***"
"""What stands in the place of a secret."""
SHORTEST = 3
"""Characters; a shorter secret is a part of too many words and numbers to be told from them, and is left."""
SHORT = 6
"""Characters; a shorter secret is hidden only where it stands alone, as a word: it may be a part of other ones."""
MOST_PASSING = 1000
"""How many passing secrets are known at once; beyond that the one that was last said longest ago is forgotten."""
_LEAST_BASE64 = 8
"""Characters of BASE64 that are enough to say that they come from a secret."""


class Secrets:
    """The secrets that are known, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lasting: dict[str, Callable[[str], str]] = {}
        self._passing: OrderedDict[str, Callable[[str], str]] = OrderedDict()
        self._known: tuple[Callable[[str], str], ...] = ()

    def register(self, secret: str, *, passing: bool = False) -> str:
        """Hide this from now on, however it is written; the secret itself comes back. An empty one is none.

        A ``passing`` one is a session's or a request's: of those only so many are known at once.
        """
        if len(secret.strip()) < SHORTEST:
            return secret
        with self._lock:
            if secret in self._passing:
                self._passing.move_to_end(secret)
                if not passing:
                    self._lasting[secret] = self._passing.pop(secret)
            elif secret not in self._lasting:
                (self._passing if passing else self._lasting)[secret] = _scrubber(secret)
                if len(self._passing) > MOST_PASSING:
                    self._passing.popitem(last=False)
                # One secret may be in another one: the longer is looked for first, lest its rest is left.
                known = sorted({**self._passing, **self._lasting}.items(), key=lambda item: len(item[0]), reverse=True)
                self._known = tuple(scrubbed for _, scrubbed in known)
        return secret

    def scrub(self, text: str) -> str:
        """The text with ``***`` for each secret: as it is, escaped, quoted for a URL, in BASE64 with its neighbours.

        It waits for no lock: what the garbage collector ends may log, in a thread that is just here.
        """
        for scrubbed in self._known:
            text = scrubbed(text)
        return text


_process = Secrets()
register, scrub = _process.register, _process.scrub


def _scrubber(secret: str) -> Callable[[str], str]:
    """What takes one secret out of a text; looking for a plain text is much faster than any pattern."""
    forms = sorted(set(_forms(secret)), key=len, reverse=True)
    if len(secret) < SHORT:
        pattern = re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(map(re.escape, forms)) + r")(?![A-Za-z0-9])")
        return lambda text: pattern.sub(HIDDEN, text)
    cores = tuple(dict.fromkeys(_cores(secret)))

    def scrubbed(text: str) -> str:
        for form in forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        for core in cores:
            if core in text:
                word = rf"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]*{re.escape(core)}[A-Za-z0-9+/_-]*=*"
                text = re.sub(word, HIDDEN, text)
        return text

    return scrubbed


def _forms(secret: str) -> Iterator[str]:
    """How a secret may be written: with the escapes of Python and of JSON, once and twice, of URLs and of XML."""
    import html
    import json
    from urllib.parse import quote, quote_plus

    yield secret
    for once in {repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}:
        yield once
        yield repr(once)[1:-1]
        yield json.dumps(once)[1:-1]
    data = secret.encode(errors="surrogateescape")
    yield repr(data)[2:-1]
    for quoted in (quote(data), quote(data, safe=""), quote_plus(data), quote(data, safe="/:")):
        yield quoted
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)
    yield html.escape(secret)
    yield html.escape(secret, quote=False)


def _cores(secret: str) -> Iterator[str]:
    """What every BASE64 has that has the secret somewhere in it, such as HTTP's Basic of a user and a password.

    Three bytes make four characters, so there are three ways to write it; what its neighbours have a part in is not
    in the core.
    """
    import base64

    data = secret.encode(errors="surrogateescape")
    for before in range(3):
        bits = (before + len(data)) * 8
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(bytes(before) + data).decode().rstrip("=")
            core = text[-(-before * 8 // 6) : bits // 6]
            if len(core) >= _LEAST_BASE64:
                yield core
