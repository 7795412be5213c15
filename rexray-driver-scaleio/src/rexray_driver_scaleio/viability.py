"""Whether this host looks like one where ScaleIO is of use: a quick look that asks nobody."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rexray import child
from rexray.settings import options_of
from rexray.types import Viability
from rexray_driver_scaleio.settings import DRV_CFG, ScaleIoSettings

SDC_DEVICE = "scini"
"""The node below ``/dev`` by which the SDC's kernel module is spoken to (dell/goscaleio, ``drv_cfg.go``)."""


def viability(
    *, dev: Path = Path("/dev"), drv_cfg: str = DRV_CFG, environ: Mapping[str, str] | None = None
) -> Viability:
    """Whether this host has an SDC, or its environment names a gateway; no network is used.

    ``drv_cfg`` is where the program is unless the environment says otherwise; ``environ`` are the environment
    variables (this process's if None).
    """
    environ = os.environ if environ is None else environ
    program = _said(environ, "scaleio.drvCfg") or drv_cfg
    if child.find(program) or (dev / SDC_DEVICE).exists() or _said(environ, "scaleio.endpoint"):
        return Viability(ok=True)
    return Viability(
        ok=False,
        reason=f"this host has no SDC (neither {program} nor {dev / SDC_DEVICE} is there), and the environment names "
        "no gateway (GOSCALEIO_ENDPOINT)",
    )


def _said(environ: Mapping[str, str], key: str) -> str:
    """What the environment says of the setting; empty if nothing."""
    names = next(option.env for option in options_of(ScaleIoSettings) if option.key == key)
    return next((environ[name] for name in names if environ.get(name)), "")
