"""The REST of the XMS: its versions, its clusters, its envelopes.

Facts: HTTP Basic on each request; ``sw-version`` of ``types/xms/1`` tells the version: v2 is there from 4.0 on, and one
XMS may have several clusters then, which GET and DELETE name by ``cluster-name`` and bodies by ``cluster-id``. From 4.2
on several filters may be combined. v1's lists have names and hrefs only; an href ends with the index. What is made is
told by its href. (goxtremio, OpenStack Cinder's driver for XtremIO, XtremIO.Utils)
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from rexray.errors import NotFound, RexrayError, SettingsError, Unsupported
from rexray.http import NoAnswer, Server, basic
from rexray_driver_xtremio.refusals import MISSING, NO_PATH, content_of, is_busy, said, strange
from rexray_driver_xtremio.settings import XtremIoSettings
from rexray_driver_xtremio.things import Content, Parser, T
from rexray_driver_xtremio.trying import Pauses

PATH = "/api/json"
OLDEST = (3, 0)
V2 = (4, 0)
FILTERS = (4, 2)
"""The first version that combines filters."""
GLOBAL = ("clusters", "xms")
"""Types of which the clusters have none of their own."""

Where = int | str
"""Which object: its index, or its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What there is at the endpoint."""

    version: tuple[int, ...]
    text: str
    cluster: str
    cluster_index: int

    @property
    def v2(self) -> bool:
        """Whether there is v2 of the REST."""
        return self.version >= V2


class Xms:
    """One XMS and one of its clusters, for any number of threads. Nothing is asked before the first call.

    Every method may raise what :func:`rexray_driver_xtremio.refusals.content_of` tells, and ``NotSent``. What changes
    something is sent once: ``Busy`` comes back to the caller, who has to look again first.
    """

    def __init__(self, settings: XtremIoSettings) -> None:
        self._settings = settings
        self._server = Server(settings.endpoint, prefix="xtremio", insecure=settings.insecure, ca_file=settings.ca_file)
        base = self._server.base
        self._base = base if base.endswith(PATH) else base + PATH
        self._lock = threading.Lock()
        self._about: Future[About] | None = None

    @property
    def about(self) -> About:
        """The version and the cluster, asked for once; who asks meanwhile waits for the same answer."""
        with self._lock:
            found, mine = self._about, self._about is None
            if found is None:
                found = self._about = Future()
        if mine:
            try:
                found.set_result(self._look())
            except BaseException as error:
                with self._lock:
                    self._about = None
                found.set_exception(error)
                raise
        return found.result()

    def get(self, kind: str, where: Where, parse: Parser[T]) -> T | None:
        """One object; None if there is none."""
        try:
            answer = self._ask("GET", kind, where)
        except NotFound:
            return None
        return self._read(kind, answer.get("content"), parse)

    def every(self, kind: str, parse: Parser[T], filters: Sequence[str] = ()) -> list[T]:
        """All objects of a type, or those that all filters let through, such as ``guid:eq:...``.

        In v2 that is one call. In v1, where there are no filters, it is one more for each object.
        """
        words: list[tuple[str, str | int]] = []
        if self.about.v2:
            words = [("full", 1), *(("filter", word) for word in filters)]
        try:
            answer = self._ask("GET", kind, query=words)
        except NotFound:  # a list is never missing: it must not look as if what is in it were
            raise self._lost_cluster() from None
        found = []
        for entry in self._entries(kind, answer):
            if "index" in entry:
                found.append(self._read(kind, entry, parse))
            elif (thing := self.get(kind, self._index(kind, entry), parse)) is not None:
                found.append(thing)
        return found

    def post(self, kind: str, body: Content) -> tuple[int, ...]:
        """Make something; the indexes of what was made, of which there is one at least."""
        links = self._ask("POST", kind, body=body).get("links")
        if not isinstance(links, list) or not links or not all(isinstance(link, dict) for link in links):
            raise NoAnswer(str(strange(f"POST {kind}", self._server.name)))
        return tuple(self._index(kind, link) for link in links)

    def put(self, kind: str, where: Where, body: Content) -> None:
        """Change something."""
        self._ask("PUT", kind, where, body=body)

    def delete(self, kind: str, where: Where) -> None:
        """Delete something; ``NotFound`` if it is not there."""
        self._ask("DELETE", kind, where)

    def _lost_cluster(self) -> SettingsError:
        """The cluster is not there any more, or has another name; the next call looks which there are."""
        cluster = self.about.cluster
        with self._lock:
            self._about = None
        return SettingsError(f"xtremio.cluster: {self._server.name} does not know cluster {cluster!r} any more")

    def _look(self) -> About:
        text = self._version()
        numbers = re.match(r"\d+(?:\.\d+)*", text)
        if numbers is None:
            raise strange(f"version {text[:40]!r}", self._server.name)
        version = tuple(int(word) for word in numbers[0].split("."))
        if version < OLDEST:
            raise Unsupported(f"{self._server.name} is an XMS {text}: 3.0 is the first version that this driver knows")
        entries = self._entries("clusters", self._send("GET", version, "clusters"))
        clusters = {str(entry.get("name")): self._index("clusters", entry) for entry in entries}
        names = ", ".join(sorted(clusters)) or "none"
        cluster = self._settings.cluster
        if cluster and cluster not in clusters:
            raise SettingsError(f"xtremio.cluster: {cluster!r} is no cluster of {self._server.name}: it has {names}")
        if not cluster and len(clusters) != 1:
            raise SettingsError(f"xtremio.cluster is missing: {self._server.name} has these clusters: {names}")
        cluster = cluster or next(iter(clusters))
        return About(version=version, text=text, cluster=cluster, cluster_index=clusters[cluster])

    def _version(self) -> str:
        """The version of the XMS; that of a cluster's software where it has no object of its own."""
        try:
            content = self._send("GET", OLDEST, "xms", 1).get("content")
            return self._read("xms", content, lambda found: str(found["sw-version"]))
        except RexrayError as error:
            if said(error) != NO_PATH and not said(error).endswith(MISSING):
                raise
        for entry in self._entries("clusters", self._send("GET", OLDEST, "clusters")):
            content = self._send("GET", OLDEST, "clusters", self._index("clusters", entry)).get("content")
            return self._read("clusters", content, lambda found: str(found["sys-sw-version"]))
        raise strange("GET clusters", self._server.name)

    def _ask(
        self,
        method: str,
        kind: str,
        where: Where | None = None,
        *,
        query: Iterable[tuple[str, str | int]] = (),
        body: Content | None = None,
    ) -> dict[str, Any]:
        """A request about the cluster, by the newest version of the REST that is known here."""
        about = self.about
        words = list(query)
        if about.v2 and kind not in GLOBAL:
            if body is not None:
                body = {**body, "cluster-id": about.cluster_index}
            else:
                words.append(("cluster-name", about.cluster))
        return self._send(method, about.version, kind, where, query=words, body=body)

    def _send(
        self,
        method: str,
        version: tuple[int, ...],
        kind: str,
        where: Where | None = None,
        *,
        query: Iterable[tuple[str, str | int]] = (),
        body: Content | None = None,
    ) -> dict[str, Any]:
        """Make a request; a GET again and again while the array only says that it is busy."""
        path = f"{self._base}{'/v2' if version >= V2 else ''}/types/{kind}"
        words = list(query)
        if isinstance(where, int):
            path += f"/{where}"
        elif where is not None:
            words.insert(0, ("name", where))
        settings = self._settings
        headers = {"Authorization": basic(settings.user_name, settings.password.reveal()), "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        reads, pauses = method == "GET", Pauses(settings.busy_timeout)
        while True:
            answer = self._server.send(
                method, path, query=words, headers=headers, body=body, seconds=settings.timeout, once=not reads
            )
            if not (reads and is_busy(answer) and pauses.wait()):
                break
        what = f"{method} {kind}" + (f" {where!r}" if where is not None else "")
        return content_of(answer, method, what, self._server.name, hide=self._hide)

    def _hide(self, text: str) -> str:
        """Whatever the array repeats of a request, secrets are not shown."""
        for secret in (self._settings.password.reveal(), self._settings.chap_password.reveal()):
            if secret:
                text = text.replace(secret, "***")
        return text

    def _entries(self, kind: str, answer: Content) -> list[dict[str, Any]]:
        entries = answer.get(kind)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise strange(f"GET {kind}", self._server.name)
        return entries

    def _index(self, kind: str, entry: Content) -> int:
        number = str(entry.get("href", "")).partition("?")[0].rstrip("/").rpartition("/")[2]
        if not (number.isascii() and number.isdigit()):
            raise strange(f"the href of one of {kind}", self._server.name)
        return int(number)

    def _read(self, kind: str, content: Any, parse: Callable[[Content], T]) -> T:
        try:
            return parse(content)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise strange(f"GET {kind}", self._server.name) from None
