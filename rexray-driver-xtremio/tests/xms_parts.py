"""A simulated EMC XtremIO management server: REST v1, v2 and v3 over HTTPS, for drivers to be tested against.

It is written from what is known of the XMS, not from a driver; what is not known is a switch (``xms_switches``).
"""

from __future__ import annotations

import base64
import hmac
import ssl
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

import xms_shapes as shapes
from rexray.testing.ports import lasting_port
from xms_faults import Call, Injecting
from xms_server import Server
from xms_store import Cluster, Initiator, InitiatorGroup, Portal, Store, Volume
from xms_switches import Switches

__all__ = ["Call", "Content", "Switches", "Xms"]

Content = dict[str, Any]
OnMap = Callable[[Content, Content, int], None]


class Xms(Injecting):
    """An XMS with one cluster, and more if they are added. Its state outlives ``stop``; its port is kept too.

    ``on_map`` and ``on_unmap`` are called with the v2 content of the volume and of the initiator group, and the LUN,
    before the request is answered; ``on_change`` with the volume's content when its size changes. ``folder`` has the
    contents of volumes, in a temporary folder if none is given; :meth:`close` removes that.
    """

    def __init__(
        self,
        *,
        version: str = "4.2.0-30",
        switches: Switches | None = None,
        cluster: str = "xbrick1",
        capacity_gib: int = 4096,
        folder: Path | None = None,
        username: str = "admin",
        password: str = "Xtrem10",
    ) -> None:
        super().__init__()
        self.username = username
        self.password = password
        self.switches = switches or Switches()
        self.on_map: list[OnMap] = []
        self.on_unmap: list[OnMap] = []
        self.on_change: list[Callable[[Content], None]] = []
        self._capacity_gib = capacity_gib
        self._temporary = tempfile.TemporaryDirectory(prefix="xms-")
        self.folder = folder or Path(self._temporary.name) / "volumes"
        self.store = Store(version, self.switches, self.folder)
        self.store.mapped = lambda *facts: self._tell(self.on_map, *facts)
        self.store.unmapped = lambda *facts: self._tell(self.on_unmap, *facts)
        self.store.changed = self._tell_change
        self.add_cluster(cluster)
        self.ca_file = Path(self._temporary.name) / "ca.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self.tls)
        self._port = 0
        self._server: Server | None = None
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}/api/json"

    @property
    def running(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        self.stopping.clear()
        self._port = self._port or lasting_port()
        self._server = Server(self, self._port)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="xms", daemon=True).start()

    def stop(self) -> None:
        """Close every connection; requests that are being carried out are, but not answered."""
        if self._server is None:
            return
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.drop_connections()
        self._server = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop for good, and remove the contents of the volumes."""
        self.stop()
        self._temporary.cleanup()

    def add_cluster(self, name: str) -> int:
        return self.store.add_cluster(name, self._capacity_gib).index

    def cluster(self, name: str | None = None) -> Cluster:
        """A cluster of that name; the first one without a name."""
        found = self.store.clusters.named(name) if name else self.store.clusters.get(1)
        assert found is not None, name
        return found

    def add_initiator_group(self, name: str, cluster: str | None = None) -> int:
        with self.store.lock:
            table = self.cluster(cluster).igs
            return table.add(InitiatorGroup(index=table.next_index(), name=name)).index

    def add_initiator(self, name: str, port_address: str, group: str, cluster: str | None = None) -> int:
        """Add an initiator to a group that exists."""
        with self.store.lock:
            home = self.cluster(cluster)
            found = home.igs.named(group)
            assert found is not None, group
            index = home.initiators.next_index()
            initiator = Initiator(index=index, name=name, address=port_address, group=found)
            found.initiators[index] = home.initiators.add(initiator)
            return index

    def add_portal(self, ip: str, port: int = 3260, *, iqn: str, cluster: str | None = None) -> int:
        """Announce an iSCSI portal, named like ``10.205.68.5/24``; one of another port has its port in its name."""
        with self.store.lock:
            table = self.cluster(cluster).portals
            name = f"{ip}/24" if table.named(f"{ip}/24") is None else f"{ip}:{port}/24"
            return table.add(Portal(index=table.next_index(), name=name, iqn=iqn, ip=ip, port=port)).index

    def remove_portal(self, index: int, cluster: str | None = None) -> None:
        with self.store.lock:
            table = self.cluster(cluster).portals
            portal = table.get(index)
            if portal is not None:
                table.remove(portal)

    def volume(self, name: str, cluster: str | None = None) -> Content | None:
        """The v2 content of a volume or snapshot, None if there is none of that name."""
        with self.store.lock:
            home = self.cluster(cluster)
            found = home.volumes.named(name)
            return None if found is None else shapes.of(self.store, home, found, 2)

    def volumes(self, cluster: str | None = None) -> list[Content]:
        with self.store.lock:
            home = self.cluster(cluster)
            return [shapes.of(self.store, home, volume, 2) for volume in home.volumes]

    def contents(self, name: str, cluster: str | None = None) -> Path:
        """The sparse file that has the contents of a volume or snapshot."""
        with self.store.lock:
            found = self.cluster(cluster).volumes.named(name)
            assert found is not None, name
            return self.store.contents.file(found)

    def fill(self, count: int, *, prefix: str = "fill-", size_gib: int = 1, cluster: str | None = None) -> list[str]:
        """Make many volumes at once, without requests; returns their names."""
        with self.store.lock:
            home = self.cluster(cluster)
            names = [f"{prefix}{number:05d}" for number in range(count)]
            for name in names:
                self.store.add_volume(home, name=name, kib=size_gib << 20)
            return names

    def initiator(self, port_address: str, cluster: str | None = None) -> Initiator | None:
        """The initiator with an IQN, for a target that has to know its initiator group."""
        with self.store.lock:
            initiators = self.cluster(cluster).initiators
            return next((entry for entry in initiators if entry.address == port_address), None)

    def _home(self, volume: Volume) -> Cluster:
        return next(cluster for cluster in self.store.clusters if cluster.volumes.get(volume.index) is volume)

    def _tell(self, watchers: list[OnMap], volume: Volume, group: InitiatorGroup, lun: int) -> None:
        if watchers:
            home = self._home(volume)
            facts = [shapes.of(self.store, home, thing, 2) for thing in (volume, group)]
            for watcher in watchers:
                watcher(facts[0], facts[1], lun)

    def _tell_change(self, volume: Volume) -> None:
        for watcher in self.on_change:
            watcher(shapes.of(self.store, self._home(volume), volume, 2))

    def may(self, header: str) -> bool:
        """Whether an Authorization header is that of the user; there are no sessions."""
        wanted = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return hmac.compare_digest(header, f"Basic {wanted}")
