"""What there is on the array beside volumes: the system, its protection domains, storage pools and SDCs.

All of it changes rarely, so it is asked for once, and again when something is met that is not known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rexray.errors import InvalidRequest, NotFound, RexrayError, SettingsError, Unavailable
from rexray_driver_scaleio.gateway import Gateway
from rexray_driver_scaleio.settings import ScaleIoSettings
from rexray_driver_scaleio.shared import Shared

AGAIN_SECONDS = 5.0
"""How long an SDC that is not known is not looked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A ScaleIO system."""

    id: str
    name: str
    state: str
    """That of the MDM cluster, such as ``ClusteredNormal``; empty where it is not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A storage pool."""

    id: str
    name: str
    domain_id: str
    domain_name: str
    system_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdc:
    """A host's client. ``guid`` is in upper case, and empty for hosts that are attached by other means."""

    id: str
    guid: str
    name: str
    ip: str
    connected: bool
    approved: bool


class Array:
    """One system behind a gateway, as the settings choose it."""

    def __init__(self, gateway: Gateway, settings: ScaleIoSettings) -> None:
        self._gateway, self._settings = gateway, settings
        self._lock = threading.Lock()
        self._system = Shared(self._find_system)
        self._pools = Shared(self._find_pools)
        self._sdcs: Mapping[str, Sdc] = {}
        self._sdcs_at = float("-inf")

    @property
    def system(self) -> System:
        """The system; ``SettingsError`` lists those that exist if the settings choose none of them."""
        return self._system.get()

    def system_now(self) -> System:
        """The system as it is now."""
        return self._find_system()

    def pools_of(self, pool_ids: Collection[str]) -> Mapping[str, Pool]:
        """Those of the pools that are the system's; the others are of another system behind the same gateway."""
        known = self._pools.get()
        if not known.keys() >= set(pool_ids):  # one is new
            known = self._pools.get(known)
        if hidden := set(pool_ids) - known.keys():
            raise Unavailable(
                f"the gateway tells nothing of storage pool {min(hidden)}, which has volumes: may the user of "
                "scaleio.userName see all of the system?"
            )
        ours = self.system.id
        return {
            pool_id: known[pool_id] for pool_id in pool_ids if pool_id in known and known[pool_id].system_id == ours
        }

    def wanted_pool(self, kind: str, domain: str) -> Pool:
        """The pool for a new volume: of the name or id ``kind``, in the protection domain of that name or id.

        Where they are empty, what the settings say. ``SettingsError`` and ``InvalidRequest`` list those that exist.
        """
        known = self._pools.get()
        try:
            return self._wanted(known, kind, domain)
        except InvalidRequest:  # there may be new ones
            return self._wanted(self._pools.get(known), kind, domain)

    def _wanted(self, known: Mapping[str, Pool], kind: str, domain: str) -> Pool:
        settings, ours = self._settings, self.system.id
        pools = [pool for pool in known.values() if pool.system_id == ours]
        domain_id, domain_name = settings.protection_domain_id, settings.protection_domain_name
        if domain:
            pools = _chosen(pools, domain, _domain_of, "option protectiondomain", InvalidRequest)
        elif domain_id:
            pools = _chosen(pools, domain_id, _domain_of, "scaleio.protectionDomainID ($GOSCALEIO_PROTECTIONDOMAINID)")
        elif domain_name:
            pools = _chosen(
                pools, domain_name, _domain_of, "scaleio.protectionDomainName ($GOSCALEIO_PROTECTIONDOMAIN)"
            )
        if kind:
            pools = _chosen(pools, kind, _pool_of, "type (the storage pool)", InvalidRequest)
        elif settings.storage_pool_id:
            pools = _chosen(
                pools, settings.storage_pool_id, _pool_of, "scaleio.storagePoolID ($GOSCALEIO_STORAGEPOOLID)"
            )
        elif settings.storage_pool_name:
            pools = _chosen(
                pools, settings.storage_pool_name, _pool_of, "scaleio.storagePoolName ($GOSCALEIO_STORAGEPOOL)"
            )
        if len(pools) == 1:
            return pools[0]
        if not pools:
            raise SettingsError(f"system {self.system.id} has no storage pool for a volume")
        names = ", ".join(sorted(f"{pool.name} (of {pool.domain_name})" for pool in pools))
        raise SettingsError(
            "which storage pool is a new volume for? Set scaleio.storagePoolName ($GOSCALEIO_STORAGEPOOL) and "
            f"scaleio.protectionDomainName ($GOSCALEIO_PROTECTIONDOMAIN); there are {names}"
        )

    def sdcs(self) -> Mapping[str, Sdc]:
        """The system's SDCs by their ids, as they are now."""
        found = self._find_sdcs()
        with self._lock:
            self._sdcs, self._sdcs_at = found, time.monotonic()
        return found

    def known_sdcs(self, ids: Iterable[str]) -> Mapping[str, Sdc]:
        """At least those of the SDCs that exist; their ids and GUIDs never change, so what was told before will do."""
        with self._lock:
            known, age = self._sdcs, time.monotonic() - self._sdcs_at
        if age > AGAIN_SECONDS and any(sdc_id not in known for sdc_id in ids):
            return self.sdcs()
        return known

    def sdc(self, word: str, *, fresh: bool = False) -> Sdc:
        """The SDC of that GUID, in any case, or of that id; ``NotFound``.

        What else it may be called would mean a host in other words than it calls itself, and keep no order.
        """
        known = {} if fresh else self.known_sdcs(())
        found = _sdc_of(known, word) or _sdc_of(self.sdcs(), word)
        if found is None:
            raise NotFound(f"instance {word!r} does not exist: system {self.system.id} has no SDC of that GUID")
        return found

    def _systems(self) -> Sequence[Mapping[str, Any]]:
        return self._gateway.get_list("/api/types/System/instances", "the gateway's systems")

    def _find_system(self) -> System:
        settings = self._settings
        systems = {str(raw["id"]): raw for raw in self._systems()}
        names = ", ".join(f"{raw.get('name') or 'nameless'} ({key})" for key, raw in systems.items()) or "none"
        if settings.system_id:
            chosen = [raw for key, raw in systems.items() if key == settings.system_id.lower()]
            asked = f"scaleio.systemID ($GOSCALEIO_SYSTEMID): {settings.system_id!r}"
        elif settings.system_name:
            chosen = [raw for raw in systems.values() if raw.get("name") == settings.system_name]
            asked = f"scaleio.systemName ($GOSCALEIO_SYSTEMNAME): {settings.system_name!r}"
        else:
            chosen = list(systems.values())
            if len(chosen) > 1:
                raise SettingsError(
                    f"the gateway has several systems: set scaleio.systemID ($GOSCALEIO_SYSTEMID); there are {names}"
                )
            asked = "scaleio.endpoint"
        if len(chosen) != 1:
            raise SettingsError(f"{asked} is not one of the gateway's systems: there are {names}")
        raw = chosen[0]
        state = (raw.get("mdmCluster") or {}).get("clusterState") or ""
        return System(id=str(raw["id"]), name=str(raw.get("name") or ""), state=str(state))

    def _find_pools(self) -> Mapping[str, Pool]:
        found = self._gateway.get_list("/api/types/ProtectionDomain/instances", "the protection domains")
        domains = {raw["id"]: raw for raw in found}
        return {
            str(raw["id"]): Pool(
                id=str(raw["id"]),
                name=str(raw.get("name") or ""),
                domain_id=str(raw["protectionDomainId"]),
                domain_name=str(domains[raw["protectionDomainId"]].get("name") or ""),
                system_id=str(domains[raw["protectionDomainId"]]["systemId"]),
            )
            for raw in self._gateway.get_list("/api/types/StoragePool/instances", "the storage pools")
            if raw.get("protectionDomainId") in domains
        }

    def _find_sdcs(self) -> Mapping[str, Sdc]:
        system = self.system
        found = self._gateway.get_list(f"/api/instances/System::{system.id}/relationships/Sdc", "the system's SDCs")
        return {
            str(raw["id"]): Sdc(
                id=str(raw["id"]),
                guid=str(raw.get("sdcGuid") or "").upper(),
                name=str(raw.get("name") or ""),
                ip=str(raw.get("sdcIp") or next(iter(raw.get("sdcIps") or ()), "")),
                connected=raw.get("mdmConnectionState") in (None, "Connected"),
                approved=raw.get("sdcApproved") is not False,
            )
            for raw in found
        }


def _domain_of(pool: Pool) -> tuple[str, str]:
    return pool.domain_id, pool.domain_name


def _sdc_of(sdcs: Mapping[str, Sdc], word: str) -> Sdc | None:
    named = (sdc for sdc in sdcs.values() if word == sdc.id or (word and word.upper() == sdc.guid))
    return next(named, None)


def _pool_of(pool: Pool) -> tuple[str, str]:
    return pool.id, pool.name


def _chosen(
    pools: Sequence[Pool],
    word: str,
    of: Any,
    asked: str,
    error: type[RexrayError] = SettingsError,
) -> list[Pool]:
    """The pools that have the word as id, or else as name; the error lists the names that exist."""
    found = [pool for pool in pools if of(pool)[0] == word.lower()] or [pool for pool in pools if of(pool)[1] == word]
    if not found:
        names = ", ".join(sorted({"{1} ({0})".format(*of(pool)) for pool in pools})) or "none"
        raise error(f"{asked}: {word!r} does not exist: there are {names}")
    return found
