"""What of a module's service can be counted."""

from __future__ import annotations

from pathlib import Path

from rexray.paths import Paths
from rexray.volumes.settings import VolumeSettings
from rexray_server.backend import Backend
from rexray_server.monitoring.inventory import Stock


def stock_of(backend: Backend, paths: Paths) -> Stock:
    """The volumes and the mounts of what a backend serves."""
    plan = backend.plan
    settings = next((found for found in plan.settings if isinstance(found, VolumeSettings)), None)
    if settings is not None and settings.mount_path != Path():
        root = settings.mount_path / plan.service
    else:
        root = paths.of_service(plan.service).lib / "volumes"
    volumes = backend.volumes
    return Stock(service=plan.service or plan.driver, volumes=volumes.list if volumes else None, mount_root=root)
