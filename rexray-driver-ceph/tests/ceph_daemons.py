"""The processes of a Ceph cluster: ports that stay one's own, daemons that cannot outlive who started them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

__all__ = [
    "Daemons",
    "Ports",
    "Session",
    "clean_environ",
    "configuration",
    "find_program",
    "keyring_of",
    "make_stores",
    "mgr_modules",
    "run",
    "tell",
    "write_keyrings",
]

SYSTEM_PYTHON = "/usr/bin/python3"
"""The Python that Ceph's bindings are for."""
MGR_MODULES = Path("/usr/share/ceph/mgr")
"""Where the distribution's packages put the modules of ceph-mgr."""

_CAPS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *"},
}
_OSD_CAPS = {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"}
# The intervals of monitors and OSDs are for clusters that are large and far apart: a small one may be quicker.
_SETTINGS = """\
[global]
fsid = {fsid}
mon_host = {mon_host}
public_addr = {address}
cluster_addr = {address}
ms_bind_ipv4 = {ipv4}
ms_bind_ipv6 = {ipv6}
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
admin_socket =
run_dir = {folder}
crash_dir = {folder}
log_file = {folder}/log/$name.log
mon_cluster_log_file = {folder}/log/cluster.log
log_to_stderr = false
err_to_stderr = true
osd_pool_default_size = {copies}
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_warn_on_pool_no_redundancy = false
mon_warn_on_insecure_global_id_reclaim = false
mon_warn_on_insecure_global_id_reclaim_allowed = false
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_osd_min_down_reporters = 1
mon_osd_reporter_subtree_level = osd
mon_osd_down_out_interval = 86400
mon_osd_adjust_heartbeat_grace = false
mon_osd_adjust_down_out_interval = false
osd_client_watch_timeout = {watch_seconds}
osd_heartbeat_interval = 1
osd_heartbeat_grace = 10
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_tick_interval = 1
mon_lease = 1
mon_election_timeout = 1
mon_client_hunt_interval = 1
mon_client_ping_interval = 2
mon_client_ping_timeout = 6
[mon]
mon_data = {folder}/mon.$id
mgr_initial_modules =
[mgr]
mgr_data = {folder}/mgr.$id
mgr_module_path = {folder}/modules
mgr_stats_period = 1
mgr_tick_period = 1
[osd]
osd_data = {folder}/osd.$id
osd_objectstore = {objectstore}
memstore_device_bytes = {size}
bluestore_block_size = {size}
bluestore_block_create = true
bluestore_cache_autotune = false
bluestore_cache_size = 33554432
osd_op_num_shards = 2
mgr_stats_period = 1
[client]
objecter_tick_interval = 1
keyring = {folder}/$cluster.$name.keyring
log_file = /dev/null
"""


def configuration(
    folder: Path,
    *,
    fsid: str,
    address: str,
    mon_host: str,
    copies: int,
    objectstore: str,
    size_bytes: int,
    watch_seconds: int,
) -> str:
    """A ``ceph.conf`` for a small, quick cluster that keeps everything in one folder, and its clients' keyrings too."""
    return _SETTINGS.format(
        folder=folder,
        fsid=fsid,
        address=address,
        ipv4=str(":" not in address).lower(),
        ipv6=str(":" in address).lower(),
        mon_host=mon_host,
        copies=copies,
        objectstore=objectstore,
        size=size_bytes,
        watch_seconds=watch_seconds,
    )


def mgr_modules(folder: Path) -> None:
    """A folder with ceph-mgr's module for RBD and no other: it imports all it finds, and that is most of its memory."""
    folder.mkdir()
    for name in ("mgr_module.py", "mgr_util.py", "rbd_support"):
        (folder / name).symlink_to(MGR_MODULES / name)


def find_program(name: str) -> str:
    """The path of one of Ceph's programs; ``sbin`` counts, which is not on every user's PATH."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))
    assert found is not None, f"{name} is not installed"
    return found


def clean_environ(**more: str) -> dict[str, str]:
    """The environment without what would lead Ceph's programs to another cluster."""
    return {**{key: value for key, value in os.environ.items() if not key.startswith("CEPH_")}, **more}


def run(program: str, *words: str, input: str | None = None, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run a program of Ceph to its end, whatever that is; ``AssertionError`` if there is none within the seconds.

    Both the program and what it has started are dead then.
    """
    command = [find_program(program), *words]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=clean_environ(),
        process_group=0,
    ) as process:
        try:
            stdout, stderr = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{program} {' '.join(words)}: no end within {timeout:g}s") from None
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def tell(program: str, *words: str, input: str | None = None, timeout: float = 30) -> str:
    """What a program of Ceph says; ``AssertionError`` with its complaint if it fails or does not end."""
    done = run(program, *words, input=input, timeout=timeout)
    assert done.returncode == 0, f"{program} {' '.join(words)}: exit status {done.returncode}: {done.stderr}"
    return done.stdout


def keyring_of(folder: Path, entity: str) -> Path:
    """Where ``configuration`` says that the keyring of a client is, such as ``client.admin``."""
    return folder / f"ceph.{entity}.keyring"


def write_keyrings(folder: Path, osds: Iterable[int]) -> None:
    """Make the administrator's key and every daemon's, before there is a cluster: the monitors learn them at birth.

    They are in ``folder/keyring``, and each again where its owner looks for it.
    """
    # one key for all is as good as many, for a cluster that lives for a test
    secret = tell("ceph-authtool", "--gen-print-key").strip()
    entities = {**_CAPS, **{f"osd.{index}": _OSD_CAPS for index in osds}}
    texts = {
        entity: f"[{entity}]\n\tkey = {secret}\n" + "".join(f'\tcaps {to} = "{may}"\n' for to, may in caps.items())
        for entity, caps in entities.items()
    }
    files = {folder / "keyring": "".join(texts.values()), keyring_of(folder, "client.admin"): texts["client.admin"]}
    for name in texts.keys() - {"mon.", "client.admin"}:
        (folder / name).mkdir()
        files[folder / name / "keyring"] = texts[name]
    for path, text in files.items():
        path.touch(0o600)
        path.write_text(text)


def make_stores(folder: Path, fsid: str, monitors: Mapping[str, str], osds: Mapping[int, str]) -> None:
    """Make the stores of monitors, by their names and addresses, and of OSDs, by their numbers and UUIDs."""
    conf, monmap = str(folder / "ceph.conf"), str(folder / "monmap")
    added = [word for name, address in monitors.items() for word in ("--addv", name, address)]
    tell("monmaptool", "--create", "--fsid", fsid, *added, monmap)
    common = ["--conf", conf, "--no-mon-config", "--mkfs", "--monmap", monmap]
    monitor = ["ceph-mon", *common, "--keyring", str(folder / "keyring"), "-i"]
    commands = [[*monitor, name] for name in monitors]
    commands += [["ceph-osd", *common, "-i", str(index), "--osd-uuid", name] for index, name in osds.items()]
    with ThreadPoolExecutor() as width:
        for making in [width.submit(tell, *command, timeout=60) for command in commands]:
            making.result()


class Ports:
    """Free TCP ports of an address that nobody else is given until ``close``, though a server may listen on them.

    A port is bound here without SO_REUSEADDR, so nobody else can have it and the kernel gives it to nobody. The option
    is set after that, and then lets in those who bind with it: Ceph's daemons do.
    """

    def __init__(self, address: str, count: int) -> None:
        self._sockets: list[socket.socket] = []
        try:
            for _ in range(count):
                holder = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
                self._sockets.append(holder)
                holder.bind((address, 0))
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except BaseException:
            self.close()
            raise

    @property
    def numbers(self) -> list[int]:
        """The ports."""
        return [int(holder.getsockname()[1]) for holder in self._sockets]

    def close(self) -> None:
        """Leave the ports to others."""
        for holder in self._sockets:
            holder.close()


class Daemons:
    """Daemons, by name, that die with this process whatever becomes of it; and with ``close``.

    They are one process group. Its leader waits for the end of a pipe that only this process can write to; this process
    never does, so what ends the pipe is ``close``, or the end of this process, be it by SIGKILL.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # A group with stopped processes is sent SIGHUP when its parent dies: the leader must outlive that
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", "trap '' HUP INT TERM; read -r line; kill -KILL 0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start a daemon that stays in the foreground; it must not run already."""
        with self._lock:
            running = self._running.get(name)
            assert running is None or running.poll() is not None, f"{name} runs already"
            with (self._log / f"{name}.out").open("ab") as output:
                self._running[name] = subprocess.Popen(
                    [find_program(command[0]), *command[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environ,
                    process_group=self._keeper.pid,
                )

    def kill(self, *names: str) -> None:
        """SIGKILL, and wait for the end; a daemon that is dead already stays so. Of no names: all."""
        with self._lock:
            doomed = [self._running.pop(name) for name in (names or tuple(self._running)) if name in self._running]
        for process in doomed:
            process.kill()
        for process in doomed:
            process.wait(30)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every daemon that runs."""
        with self._lock:
            for process in self._running.values():
                process.send_signal(number)

    def names(self) -> set[str]:
        """Those that run, be they frozen."""
        with self._lock:
            return {name for name, process in self._running.items() if process.poll() is None}

    def pids(self) -> dict[str, int]:
        """The process id of each that was started and not killed."""
        with self._lock:
            return {name: process.pid for name, process in self._running.items()}

    def said(self, name: str) -> str:
        """What a daemon has written to its outputs."""
        path = self._log / f"{name}.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Kill all for good."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._keeper.pid, signal.SIGKILL)
        self._keeper.wait(30)
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        self.kill()

    @property
    def group(self) -> int:
        """The process group of which all die with this process."""
        return self._keeper.pid


class Session:
    """One lasting session with a cluster, by ``ceph_session.py``; one that does not answer is killed, and made anew."""

    def __init__(self, conf: Path, group: int) -> None:
        self._conf, self._group = conf, group
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def ask(self, method: str, *parameters: object, timeout: float = 60) -> Any:
        """What the session's method says; ``AssertionError`` with its complaint."""
        with self._lock:
            line = self._line(json.dumps([method, *parameters]), timeout)
        well, answer = json.loads(line)
        assert well, answer
        return answer

    def _line(self, question: str, timeout: float) -> str:
        if self._process is None:
            self._process = subprocess.Popen(
                [SYSTEM_PYTHON, str(Path(__file__).with_name("ceph_session.py")), str(self._conf)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=clean_environ(),
                process_group=self._group,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(timeout, process.kill)
        late.start()
        try:
            process.stdin.write(f"{question}\n")
            process.stdin.flush()
            line = process.stdout.readline()
        finally:
            late.cancel()
        if not line:
            self._close()
            raise AssertionError(f"{question}: no answer within {timeout:g}s")
        return line

    def close(self) -> None:
        """End it, until the next question."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
