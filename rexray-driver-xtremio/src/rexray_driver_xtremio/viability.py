"""Whether this host looks like one where XtremIO's volumes are of use: a quick look that asks nobody.

Facts: REX-Ray looks for ``XtremIO``, padded with blanks, among ``/sys/class/scsi_device/*/device/vendor``. A host to
which nothing was mapped yet has none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rexray.settings import options_of
from rexray.types import Viability
from rexray_driver_xtremio.paths import VENDOR
from rexray_driver_xtremio.settings import XtremIoSettings


def viability(*, sys: Path = Path("/sys"), environ: Mapping[str, str] | None = None) -> Viability:
    """Whether the environment (this process's if None) names an XMS, or this host has a device of an array."""
    environ = os.environ if environ is None else environ
    names = next(option.env for option in options_of(XtremIoSettings) if option.key == "xtremio.endpoint")
    if any(environ.get(name) for name in names) or _has_device(sys):
        return Viability(ok=True)
    return Viability(
        ok=False, reason="no XtremIO array is known: $GOXTREMIO_ENDPOINT is not set, and no SCSI device is of one"
    )


def _has_device(sys: Path) -> bool:
    for file in sys.glob("class/scsi_device/*/device/vendor"):
        try:
            if file.read_text(errors="replace").strip() == VENDOR:
                return True
        except OSError:
            continue  # it has just been removed
    return False
