"""One session with a cluster that answers one question about many images, as a program of its own.

It is run by whichever Python on this host has Ceph's bindings, which is the system's as a rule: ``ceph`` itself is
written in it. It imports nothing of REX-Ray's. A program can be killed when it hangs, a library call cannot.

Its one argument is the question in JSON, its output one object in JSON: ``{"error": [STAGE, NUMBER, TEXT]}``, or what
:class:`Session`'s method of that name returns.

Facts: ``cls_rbd`` and ``cls_lock``, the classes that every OSD has and that krbd and librbd alike call: ``get_size`` of
a snapshot's number or ``NOSNAP`` gives the object order and the size, ``metadata_get`` takes and gives a string with
its length before it, ``lock.get_info`` gives the lockers, the lock's kind and its tag. ``rbd_header.ID`` is the object
that they are called on. Opening an image with librbd takes seven times as long as these four calls. ``dir_list`` and
``metadata_list`` give pairs of strings in order, those after a given one; the bindings fail at any that is no text.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timezone  # its alias UTC is too new for some systems' Python
from typing import Any

_THREADS = 4
_PAGE = 1000
"""How many images, or keys, are asked for at once."""
_UTC = timezone.utc  # noqa: UP017
_NOSNAP = struct.pack("<Q", 2**64 - 2)
_USER_SNAPSHOT = 0
_CLIENTS = {8: "client"}
"""The kinds of entities that lock, by their number on the wire."""
_OWN_LOCK = "rexray"
_OWN_META = "rexray"
_RBD_LOCK = "rbd_lock"


class Session:
    """The answers; ``rados`` and ``rbd`` are the bindings' modules."""

    def __init__(self, rados: Any, rbd: Any, question: Any) -> None:
        self._rados, self._rbd = rados, rbd
        known = {"name": question["name"], "conf": question["options"], "clustername": question["cluster"]}
        try:
            self._cluster = rados.Rados(conffile=question["conf"], **known)
        except rados.ObjectNotFound:
            if question["conf"] or "mon_host" not in question["options"]:
                raise
            self._cluster = rados.Rados(**known)  # the settings say where the monitors are: no file is needed
        self._cluster.conf_parse_argv(question["arguments"])
        signal.setitimer(signal.ITIMER_REAL, question["seconds"])  # ends the program: the bindings ignore a timeout
        self._cluster.connect()
        signal.setitimer(signal.ITIMER_REAL, 0)

    def images(self, pools: Any) -> Any:
        """Every image of the pools, or of all pools for RBD with their namespaces: ``{"images": [...], ...}``."""
        found: Any = []
        denied: Any = []
        with ThreadPoolExecutor(_THREADS) as threads:
            for pool, namespace, io in self._contexts(pools, denied):
                ask = [(io, pool, namespace, item) for item in self._listed(io, bool(pools), denied)]
                found += [image for image in threads.map(self._brief, ask) if image is not None]
        return {"images": found, "denied": denied}

    def image(self, pool: Any, namespace: Any, name: Any, register: Any) -> Any:
        """One image with all that is known of it, and the keys of the ``register`` object: ``{"image": {...}}``."""
        io = self._context(pool, namespace)
        instances = self._keys(*register) if register else []
        return {"image": self._opened(io, pool, namespace, name), "instances": instances}

    def image_and_hidden(self, pool: Any, namespace: Any, name: Any, beginning: Any) -> Any:
        """One image, and the ids of those whose names begin so: ``{"image": {...}, "hidden": {NAME: ID}}``.

        The image is looked for first: what is hidden afterwards and has its id was not renamed to the end by then.
        """
        io = self._context(pool, namespace)
        image = self._opened(io, pool, namespace, name)
        hidden = {}
        for found, image_id in self._directory(io, beginning):
            if not found.startswith(beginning):
                break
            hidden[found] = image_id
        return {"image": image, "hidden": hidden}

    def finish_rename(self, pool: Any, namespace: Any, source: Any, name: Any, image_id: Any) -> Any:
        """Do what is left of a rename that made ``rbd_id.NAME``, and that may be under way still: ``{}``.

        The directory's own class changes both of its entries at once, and only if the source is that image's. Where the
        source is not listed any more, whoever renames has come further. ``rbd_id.NAME`` is never touched.
        """
        io = self._context(pool, namespace)
        words = b"".join(_sized(word.encode()) for word in (source, name, image_id))
        try:
            self._call(io, "rbd_directory", "rbd", "dir_rename_image", words)
        except self._rados.ObjectNotFound:
            pass
        except self._rados.Error as error:
            if abs(error.errno or 0) == errno.ESTALE:
                return {}
            raise
        with suppress(self._rados.ObjectNotFound):
            io.remove_object("rbd_id." + source)
        return {}

    def named(self, pools: Any, names: Any, dotted: Any) -> Any:
        """The images of these names in each of the pools, or in all of them: ``{"images": [...]}``.

        ``dotted`` has further names for the images of some ``POOL`` or ``POOL.NAMESPACE``.
        """
        found = []
        for pool, namespace, io in self._contexts(pools, []):
            place = pool + "." + namespace if namespace else pool
            for name in [*names, *dotted.get(place, [])]:
                try:
                    image = self._opened(io, pool, namespace, name)
                except (self._rados.PermissionDeniedError, self._rbd.PermissionError):
                    if pools:
                        raise
                    continue
                found += [image] if image is not None else []
        return {"images": found}

    def keys(self, pool: Any, namespace: Any, name: Any) -> Any:
        """The keys of an object, none if it is not there: ``{"keys": [...]}``."""
        return {"keys": self._keys(pool, namespace, name)}

    def take_together(self, snapshots: Any) -> Any:
        """Snapshots of several images while nobody can write to any of them: ``{}``."""
        with ExitStack() as stack:
            images = []
            for pool, namespace, name, _ in snapshots:
                image = stack.enter_context(self._rbd.Image(self._context(pool, namespace), name))
                image.lock_acquire(self._rbd.RBD_LOCK_MODE_EXCLUSIVE)
                stack.callback(image.lock_release)
                images.append(image)
            for image, (_, _, _, snapshot) in zip(images, snapshots):  # noqa: B905 too new for some systems' Python
                image.create_snap(snapshot)
        return {}

    def snapshots(self, pools: Any) -> Any:
        """The images of the pools that have snapshots, with them: ``{"images": [...]}``."""
        found = []
        with ThreadPoolExecutor(_THREADS) as threads:
            for pool, namespace, io in self._contexts(pools, []):
                ask = [(io, pool, namespace, item) for item in self._listed(io, bool(pools), [])]
                found += [image for image in threads.map(self._with_snapshots, ask) if image is not None]
        return {"images": found}

    def _contexts(self, pools: Any, denied: Any) -> Any:
        if pools:
            for pool, namespace in pools:
                yield pool, namespace, self._context(pool, namespace)
            return
        for pool in sorted(self._cluster.list_pools()):
            try:
                io = self._cluster.open_ioctx(pool)
                if "rbd" not in io.application_list():
                    continue
                namespaces = ["", *sorted(self._rbd.RBD().namespace_list(io))]
            except (self._rados.ObjectNotFound, self._rbd.ObjectNotFound):
                continue  # removed meanwhile
            except (self._rados.PermissionDeniedError, self._rbd.PermissionError) as error:
                denied.append([pool, str(error)])
                continue
            for namespace in namespaces:
                yield pool, namespace, self._context(pool, namespace)

    def _context(self, pool: Any, namespace: Any) -> Any:
        io = self._cluster.open_ioctx(pool)
        if namespace and not self._rbd.RBD().namespace_exists(io, namespace):
            raise Missing(f"namespace {pool}/{namespace} does not exist")
        io.set_namespace(namespace)
        return io

    def _listed(self, io: Any, asked_for: Any, denied: Any) -> Any:
        """The images of a pool, as ``(NAME, ID)``; of one that nobody asked for none, if this user may not read it."""
        try:
            return list(self._directory(io, ""))
        except self._rados.PermissionDeniedError as error:
            if asked_for:
                raise
            denied.append([io.name, str(error)])
            return []

    def _directory(self, io: Any, after: Any) -> Any:
        """The names and ids of images, in the names' order, from the one after that name on."""
        start = after.encode()
        while True:
            try:
                page = self._page(io, "rbd_directory", "dir_list", start)
            except self._rados.ObjectNotFound:
                return
            for name, image_id in page:
                yield name.decode(errors="replace"), image_id.decode()
            if len(page) < _PAGE:
                return
            start = page[-1][0]

    def _metadata(self, io: Any, header: Any) -> Any:
        found: Any = {}
        start = b""
        while True:
            page = self._page(io, header, "metadata_list", start)
            found.update((key.decode(errors="replace"), value.decode(errors="replace")) for key, value in page)
            if len(page) < _PAGE:
                return found
            start = page[-1][0]

    def _keys(self, pool: Any, namespace: Any, name: Any) -> Any:
        io = self._context(pool, namespace)
        keys, after = [], ""
        while True:
            with self._rados.ReadOpCtx() as operation:
                page, _ = io.get_omap_keys(operation, after, _PAGE)
                try:
                    io.operate_read_op(operation, name)
                except self._rados.ObjectNotFound:
                    return []
                some = [key for key, _ in page]
            keys += some
            if len(some) < _PAGE:
                return keys
            after = some[-1]

    def _brief(self, ask: Any) -> Any:
        io, pool, namespace, (name, image_id) = ask
        header = "rbd_header." + image_id
        try:
            size = struct.unpack_from("<BQ", self._call(io, header, "rbd", "get_size", _NOSNAP))[1]
        except self._rados.ObjectNotFound:
            return None  # removed meanwhile
        claim = self._lock(io, header, _OWN_LOCK)
        if claim is None and self._lock(io, header, _RBD_LOCK) is not None:  # some client's, which may have died
            return self._opened(io, pool, namespace, name)
        return {
            "pool": pool,
            "namespace": namespace,
            "name": name,
            "id": image_id,
            "size": size,
            "meta": self._meta(io, header, _OWN_META),
            "claim": claim,
        }

    def _with_snapshots(self, ask: Any) -> Any:
        io, pool, namespace, (name, image_id) = ask
        try:
            context = self._call(io, "rbd_header." + image_id, "rbd", "get_snapcontext", b"")
            if struct.unpack_from("<QI", context)[1] == 0:
                return None
        except self._rados.ObjectNotFound:
            return None  # removed meanwhile
        try:
            return self._opened(io, pool, namespace, name)
        except UnicodeError:
            return None  # a snapshot of somebody's has a name that is no text

    def _opened(self, io: Any, pool: Any, namespace: Any, name: Any) -> Any:
        try:
            with self._rbd.Image(io, name, read_only=True) as image:
                return self._detailed(io, image, pool, namespace, name)
        except self._rbd.ImageNotFound:
            return None

    def _detailed(self, io: Any, image: Any, pool: Any, namespace: Any, name: Any) -> Any:
        header = "rbd_header." + image.id()
        features = image.features()
        try:
            parent = image.get_parent_image_spec()
        except self._rbd.ImageNotFound:
            parent = None
        return {
            "pool": pool,
            "namespace": namespace,
            "name": name,
            "id": image.id(),
            "size": image.size(),
            "created": image.create_timestamp().replace(tzinfo=_UTC).timestamp(),
            "features": [word for word, bit in _features(self._rbd).items() if features & bit],
            "parent": parent and [parent["pool_name"], parent["pool_namespace"], parent["image_name"]],
            "watchers": [watcher["addr"] for watcher in image.watchers_list()],
            "metadata": self._metadata(io, header),
            "claim": self._lock(io, header, _OWN_LOCK),
            "snapshots": [
                {
                    "name": snap["name"],
                    "size": snap["size"],
                    "created": image.get_snap_timestamp(snap["id"]).replace(tzinfo=_UTC).timestamp(),
                }
                for snap in image.list_snaps()
                if snap.get("namespace", _USER_SNAPSHOT) == _USER_SNAPSHOT
            ],
        }

    def _call(self, io: Any, name: Any, kind: Any, method: Any, data: Any, most: Any = 1 << 16) -> Any:
        return io.execute(name, kind, method, data, most)[1]

    def _page(self, io: Any, name: Any, method: Any, after: Any) -> Any:
        """The pairs of bytes that come after that one."""
        return _pairs(self._call(io, name, "rbd", method, _sized(after) + struct.pack("<Q", _PAGE), 1 << 22))

    def _meta(self, io: Any, header: Any, key: Any) -> Any:
        try:
            return _string(self._call(io, header, "rbd", "metadata_get", _sized(key.encode())), 0)[0]
        except self._rados.ObjectNotFound:
            return ""

    def _lock(self, io: Any, header: Any, name: Any) -> Any:
        try:
            words = _sized(name.encode())
            return _locker(self._call(io, header, "lock", "get_info", struct.pack("<BBI", 1, 1, len(words)) + words))
        except self._rados.ObjectNotFound:
            return None


class Missing(Exception):
    """A namespace does not exist."""

    errno = 2


def _features(rbd: Any) -> Any:
    words = {name: getattr(rbd, name) for name in dir(rbd) if name.startswith("RBD_FEATURE_")}
    return {
        name[len("RBD_FEATURE_") :].lower().replace("_", "-"): bit
        for name, bit in words.items()
        if bit and bit & (bit - 1) == 0
    }


def _sized(data: Any) -> Any:
    """Bytes with their length before them."""
    return struct.pack("<I", len(data)) + data


def _pairs(data: Any) -> Any:
    """Pairs of bytes, with their number before them and each one's length before it."""
    (count,), at, words = struct.unpack_from("<I", data), 4, []
    for _ in range(2 * count):
        (size,) = struct.unpack_from("<I", data, at)
        words.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return list(zip(words[::2], words[1::2]))  # noqa: B905 too new for some systems' Python


def _string(data: Any, at: Any) -> Any:
    """A string with its length before it, and where it ends."""
    (size,) = struct.unpack_from("<I", data, at)
    return data[at + 4 : at + 4 + size].decode(errors="replace"), at + 4 + size


def _locker(data: Any) -> Any:
    """The first locker as ``[CLIENT, COOKIE, TAG]``, None if there is none.

    The answer is a structure with its version (2 bytes) and length (4) before it, and so are a locker's two halves:
    who (a kind's byte, a number of 8 bytes, a cookie) and how. The tag is the last string of all.
    """
    (count,) = struct.unpack_from("<I", data, 6)
    if not count:
        return None
    at, client = 10, ""
    cookie = ""
    for index in range(count):
        kind, entity = struct.unpack_from("<Bq", data, at + 6)
        if index == 0:
            cookie = _string(data, at + 15)[0]
            client = f"{_CLIENTS.get(kind, kind)}.{entity}"
        at += 6 + struct.unpack_from("<I", data, at + 2)[0]
        at += 6 + struct.unpack_from("<I", data, at + 2)[0]
    return [client, cookie, _string(data, at + 1)[0]]


def main(text: str) -> int:
    """Answer one question; the exit status is 3 where this Python has no bindings."""
    try:
        import rados  # type: ignore[import-not-found] # the system's, see above
        import rbd  # type: ignore[import-not-found]
    except ImportError:
        return 3
    question = json.loads(text)
    stage = "connect"
    try:
        session = Session(rados, rbd, question)
        stage = "ask"
        answer = getattr(session, question["method"])(*question["parameters"])
    except (rados.Error, rbd.Error, Missing, UnicodeError) as error:
        answer = {"error": [stage, abs(getattr(error, "errno", 0) or 0), str(error)]}
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1])
    sys.stdout.flush()
    os._exit(status)  # what tidies up at a Python's end takes time, and OpenSSL from threads that may still run
