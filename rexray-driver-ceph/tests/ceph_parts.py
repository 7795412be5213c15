"""A real Ceph cluster of one's own, of plain processes in one folder, and what can go wrong with it."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ceph_daemons import (
    Daemons,
    Ports,
    Session,
    clean_environ,
    configuration,
    keyring_of,
    make_stores,
    mgr_modules,
    tell,
    write_keyrings,
)

__all__ = ["CephCluster", "wait_until"]

_REALLY = "--yes-i-really-really-mean-it"
_POOL_KEYS = ("pool", "pool_name", "flags", "quota_max_bytes", "quota_max_objects", "snap_seq", "size")


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 60, pause: float = 0.1) -> None:
    """Wait for the condition to hold; ``AssertionError`` that says what if it does not within the seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:g}s in vain: {what}"
        time.sleep(pause)


class CephCluster:
    """Ceph's monitors, its OSDs and a manager; ``with CephCluster(folder) as cluster``.

    The folder has to be new, and its path short and without blanks. The pool ``rbd`` is there from the start. Objects
    have as many copies as there are OSDs, two at the most, and one is enough to go on. With ``objectstore="memstore"``
    an OSD that is killed has lost its objects; with ``"bluestore"`` they stay in a sparse file of ``size_gb``. A client
    that died is forgotten after ``watch_seconds``; krbd wants five to say that it lives.
    """

    def __init__(
        self,
        folder: Path,
        *,
        monitors: int = 1,
        osds: int = 2,
        mgr: bool = True,
        address: str = "127.0.0.1",
        objectstore: str = "memstore",
        size_gb: int = 2,
        watch_seconds: int = 10,
    ) -> None:
        self.folder = folder.resolve()
        self.conf = self.folder / "ceph.conf"
        self.keyring = self._keyring_of("client.admin")
        self.address = address
        self.monitors = tuple("abcdefghi"[:monitors])
        self.osds = tuple(range(osds))
        self.mgr = mgr
        self.objectstore = objectstore
        self.size_bytes = size_gb << 30
        self.copies = min(osds, 2)
        self.watch_seconds = watch_seconds
        self.fsid = str(uuid.uuid4())
        self._uuids = [str(uuid.uuid4()) for _ in self.osds]
        self._monitor_ports: list[tuple[int, int]] = []
        self._closing = contextlib.ExitStack()
        self._daemons: Daemons
        self.session: Session
        self._pristine: object = None

    # Coming up and going down

    def start(self) -> CephCluster:
        """Make the cluster, and return when the pool ``rbd`` serves; the manager may need a second more."""
        try:
            self._make_folder()
            write_keyrings(self.folder, self.osds)
            make_stores(
                self.folder,
                self.fsid,
                dict(zip(self.monitors, self.mon_hosts, strict=True)),
                dict(enumerate(self._uuids)),
            )
            for index in range(len(self.monitors)):
                self.start_monitor(index)
            self._wait_for_monitors()
            # it misses the modules of ceph-mgr that are of no use here
            self._batch("health mute MGR_MODULE_ERROR --sticky", *(f"osd create {name}" for name in self._uuids))
            self._start_missing()
            # a pool made before its OSDs are up would keep its first client waiting for seconds
            self._wait_for_osds()
            self._batch(*self._making("rbd", "rbd"))
            self.rbd("pool", "init", "rbd")
            self._pristine = self._pools_of(self._ask("osd dump")[0])
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Kill every daemon and remove what they have stored; their logs stay."""
        self._closing.close()
        for kept in (*self.folder.glob("mon.*"), *self.folder.glob("osd.*"), *self.folder.glob("mgr.*")):
            shutil.rmtree(kept)

    def __enter__(self) -> CephCluster:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def environ(self) -> dict[str, str]:
        """What leads a process of rexray to this cluster."""
        return {"RBD_CONF": str(self.conf)}

    @property
    def pids(self) -> dict[str, int]:
        """The process of each daemon, by its name: ``mon.a``, ``mgr.x``, ``osd.0``."""
        return self._daemons.pids()

    @property
    def mon_hosts(self) -> tuple[str, ...]:
        """The addresses of each monitor as ``ceph.conf`` has them."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return tuple(f"[v2:{host}:{v2},v1:{host}:{v1}]" for v2, v1 in self._monitor_ports)

    # Asking

    def ceph(self, *words: str, input: str | None = None, timeout: float = 30) -> str:
        """What ``ceph`` says as the administrator; ``AssertionError`` with its complaint if it fails."""
        return self._told("ceph", *words, input=input, timeout=timeout)

    def rbd(self, *words: str, input: str | None = None, timeout: float = 60) -> str:
        """What ``rbd`` says as the administrator; ``AssertionError`` with its complaint if it fails."""
        return self._told("rbd", *words, input=input, timeout=timeout)

    def rados(self, *words: str, input: str | None = None, timeout: float = 60) -> str:
        """What ``rados`` says as the administrator; ``AssertionError`` with its complaint if it fails."""
        return self._told("rados", *words, input=input, timeout=timeout)

    def json(self, *words: str, program: str = "ceph", timeout: float = 30) -> Any:
        """What a program says with ``--format json``."""
        if program == "ceph":
            return self.session.ask("ceph", shlex.join(words), timeout=timeout)[0]
        return json.loads(self._told(program, *words, "--format", "json", timeout=timeout))

    def watchers(self, spec: str) -> tuple[str, ...]:
        """The addresses of the clients that have an image open."""
        return tuple(self.session.ask("watchers", spec))

    def blocklist(self) -> tuple[str, ...]:
        """The addresses of clients that the cluster refuses to serve."""
        return tuple(entry["addr"] for entry in self.json("osd", "blocklist", "ls"))

    def pools(self) -> tuple[str, ...]:
        """The names of all pools."""
        return tuple(self.json("osd", "pool", "ls"))

    # Changing

    def create_pool(self, name: str, *, rbd: bool = True) -> None:
        """Make a pool, for images unless told otherwise; it must not exist."""
        self._batch(*self._making(name, "rbd" if rbd else "rgw"))
        if rbd:
            self.rbd("pool", "init", name)

    def remove_pool(self, name: str) -> None:
        """Remove a pool and all that is in it."""
        self._batch(self._removing(name))

    def user(self, name: str, caps: Mapping[str, str]) -> Path:
        """Make ``client.NAME`` with these rights (``{"mon": "profile rbd", ...}``); its keyring.

        ``ceph.conf`` leads the user's programs to that keyring.
        """
        keyring = self._keyring_of(f"client.{name}")
        words = [word for pair in caps.items() for word in pair]
        keyring.write_text(self.ceph("auth", "get-or-create", f"client.{name}", *words))
        keyring.chmod(0o600)
        return keyring

    def set_full(self, pool: str = "rbd", *, full: bool = True, timeout: float = 30) -> None:
        """Fill a pool up to a quota, or take that back; wait until the monitors say so.

        Ceph's clients do not fail in a full pool: what writes waits, and what may go beyond a quota is told EDQUOT.

        Only a cluster with a manager counts what is in a pool.
        """
        assert self.mgr, "without a manager nobody counts what is in a pool"
        if full:
            # one object fulfils the quota, and a pool that was initialised has one
            self._batch(f"osd pool set-quota {pool} max_objects 1")
        else:
            self._batch(f"osd pool set-quota {pool} max_objects 0", f"osd pool set-quota {pool} max_bytes 0")
        wait_until(lambda: self._is_full(pool) is full, f"pool {pool} full: {full}", timeout)

    def reset(self) -> None:
        """Make the cluster as it was at its start: daemons that run, the pool ``rbd`` without images, nothing else."""
        self.thaw()
        restarted = self._start_missing()
        if restarted:
            self._wait_for_osds()
        dump, known = self._ask("osd dump", "auth ls")
        users = [user["entity"] for user in known["auth_dump"] if user["entity"].startswith("client.")]
        # the monitors make those for bootstrapping by themselves
        users = [user for user in users if user != "client.admin" and not user.startswith("client.bootstrap-")]
        self._batch(*(["osd blocklist clear"] if dump["blocklist"] else []), *(f"auth rm {user}" for user in users))
        for user in users:
            self._keyring_of(user).unlink(missing_ok=True)
        # to make the pool again takes a second, to empty it does not
        is_pristine = not restarted and self._pools_of(dump) == self._pristine
        found = self.session.ask("wipe", "rbd") if is_pristine else None
        if found is None:
            self._batch(*(self._removing(pool["pool_name"]) for pool in dump["pools"]), *self._making("rbd", "rbd"))
            self.rbd("pool", "init", "rbd")
            self._pristine = self._pools_of(self._ask("osd dump")[0])
        elif found != ["rbd_info"]:
            self.rbd("pool", "init", "rbd")

    # Making it fail

    def kill_osd(self, index: int) -> None:
        """Kill an OSD with SIGKILL."""
        self._daemons.kill(f"osd.{index}")

    def start_osd(self, index: int) -> None:
        """Start an OSD that does not run."""
        self._start("osd", str(index))

    def kill_monitor(self, index: int) -> None:
        """Kill a monitor with SIGKILL."""
        self._daemons.kill(f"mon.{self.monitors[index]}")

    def start_monitor(self, index: int) -> None:
        """Start a monitor that does not run."""
        self._start("mon", self.monitors[index])

    def freeze(self) -> None:
        """Stop every daemon where it is: connections stay, and nobody answers."""
        self._daemons.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let every daemon go on."""
        self._daemons.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """A while in which no daemon answers."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def stop(self) -> None:
        """Kill every daemon with SIGKILL: connections are refused."""
        self.session.close()
        self._daemons.kill()

    def start_again(self, timeout: float = 60) -> None:
        """Start every daemon after ``stop``, with its data, and wait until all is well."""
        assert self.objectstore != "memstore", "memstore has forgotten its objects"
        self._start_missing()
        self.wait_healthy(timeout)

    def wait_healthy(self, timeout: float = 60) -> None:
        """Wait until every daemon is in its place and, if there is a manager, every object has all its copies."""
        wait_until(self._is_healthy, "every daemon in its place", timeout, pause=0.2)

    def wait_mgr(self, timeout: float = 60) -> None:
        """Wait until the manager tells the pools' free space and takes tasks for images."""
        wait_until(self._is_managed, "the manager at work", timeout, pause=0.2)

    # How

    def _keyring_of(self, entity: str) -> Path:
        return keyring_of(self.folder, entity)

    def _make_folder(self) -> None:
        (self.folder / "log").mkdir(parents=True)
        ports = self._closing.enter_context(contextlib.closing(Ports(self.address, 2 * len(self.monitors))))
        self._monitor_ports = list(zip(ports.numbers[::2], ports.numbers[1::2], strict=True))
        self._daemons = self._closing.enter_context(contextlib.closing(Daemons(self.folder / "log")))
        self.session = self._closing.enter_context(contextlib.closing(Session(self.conf, self._daemons.group)))
        self.conf.write_text(
            configuration(
                self.folder,
                fsid=self.fsid,
                address=self.address,
                mon_host=",".join(self.mon_hosts),
                copies=self.copies,
                objectstore=self.objectstore,
                size_bytes=self.size_bytes,
                watch_seconds=self.watch_seconds,
            )
        )
        mgr_modules(self.folder / "modules")

    def _start(self, kind: str, name: str) -> None:
        command = [f"ceph-{kind}", "--conf", str(self.conf), "-f", "-i", name]
        self._daemons.start(f"{kind}.{name}", command, clean_environ())

    def _start_missing(self) -> bool:
        """Start what does not run; whether there was any."""
        running = self._daemons.names()
        wanted = [("mon", name) for name in self.monitors] + [("osd", str(index)) for index in self.osds]
        wanted += [("mgr", "x")] if self.mgr else []
        missing = [(kind, name) for kind, name in wanted if f"{kind}.{name}" not in running]
        for kind, name in missing:
            self._start(kind, name)
        return bool(missing)

    def _wait_for_monitors(self) -> None:
        status = self.json("quorum_status")
        assert status["quorum_names"], status

    def _wait_for_osds(self) -> None:
        wait_until(lambda: self._are_osds_up(self.json("osd", "dump")), "every OSD up", pause=0.05)

    def _told(self, program: str, *words: str, input: str | None = None, timeout: float = 30) -> str:
        return tell(program, "--conf", str(self.conf), *words, input=input, timeout=timeout)

    def _batch(self, *lines: str) -> None:
        """Several commands of ``ceph``; ``AssertionError`` at the first that fails."""
        self._ask(*lines)

    def _ask(self, *lines: str) -> list[Any]:
        """The answers to several questions."""
        answers: list[Any] = self.session.ask("ceph", *lines)
        return answers

    def _pools_of(self, dump: Any) -> object:
        """What pools there are, which of their settings tests change, and whether snapshots were taken in them."""
        return [[pool[key] for key in _POOL_KEYS] for pool in dump["pools"]]

    def _making(self, pool: str, application: str) -> list[str]:
        pool = shlex.quote(pool)
        return [f"osd pool create {pool} 8 8 replicated", f"osd pool application enable {pool} {application}"]

    def _removing(self, pool: str) -> str:
        pool = shlex.quote(pool)
        return f"osd pool rm {pool} {pool} {_REALLY}"

    def _is_full(self, pool: str) -> bool:
        for known in self.json("osd", "dump")["pools"]:
            if known["pool_name"] == pool:
                return "full_quota" in known["flags_names"].split(",")
        raise AssertionError(f"there is no pool {pool}")

    def _are_osds_up(self, known: Any) -> bool:
        """Whether the OSDs that run now are up, by the process in their addresses: the map may tell of dead ones."""
        up = {f"osd.{osd['osd']}": osd["public_addrs"]["addrvec"][0]["nonce"] for osd in known["osds"] if osd["up"]}
        return up == {name: pid for name, pid in self.pids.items() if name.startswith("osd.")} and len(up) == len(
            self.osds
        )

    def _is_healthy(self) -> bool:
        quorum, osds, *pgs = self._ask("quorum_status", "osd dump", *(["pg dump pgs", "mgr stat"] if self.mgr else []))
        if len(quorum["quorum"]) < len(self.monitors) or not self._are_osds_up(osds):
            return False
        since = {osd["osd"]: osd["up_from"] for osd in osds["osds"]}
        return not pgs or (
            pgs[1]["available"] is True
            and len(pgs[0]["pg_stats"]) == sum(pool["pg_num"] for pool in osds["pools"])
            and all(
                pg["state"] == "active+clean" and pg["reported_epoch"] >= max(since[osd] for osd in pg["up"])
                for pg in pgs[0]["pg_stats"]
            )
        )

    def _is_managed(self) -> bool:
        if not self.mgr or not all(pool["stats"]["max_avail"] for pool in self.json("df")["pools"]):
            return False
        try:
            return bool(self._ask("rbd task list") is not None)
        except AssertionError:
            return False
