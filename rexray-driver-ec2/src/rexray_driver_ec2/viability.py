"""Whether this host looks like one where EC2 is of use: a quick look that asks nobody.

Facts: AWS, "Identify EC2 instances": ``sys_vendor`` and ``board_vendor`` are ``Amazon EC2`` on Nitro, ``bios_version``
is such as ``4.11.amazon`` on Xen, where ``/sys/hypervisor/uuid`` begins with ``ec2``. boto3, "Credentials": the
variables and files in which credentials are looked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rexray.settings import options_of
from rexray.types import Viability
from rexray_driver_ec2.settings import Ec2Settings

_VENDOR = "Amazon EC2"
_VARIABLES = {
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_ACCESSKEY",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
}
"""Variables that tell of credentials; ``AWS_REGION`` and its like are set for other programs as well."""
_OWN_PREFIXES = ("EC2_", "EBS_")


def viability(
    *, sys: Path = Path("/sys"), environ: Mapping[str, str] | None = None, home: Path | None = None
) -> Viability:
    """Whether this host is an EC2 instance, or has credentials or settings for EC2; no network is used.

    ``environ`` are the environment variables (this process's if None), ``home`` is the user's directory.
    """
    environ = os.environ if environ is None else environ
    home = Path(os.path.expanduser("~")) if home is None else home
    if is_instance(sys) or _is_configured(environ) or _has_files(home):
        return Viability(ok=True)
    return Viability(
        ok=False,
        reason="this host is no EC2 instance, and neither the environment (AWS_ACCESS_KEY, AWS_PROFILE, ...) nor "
        "~/.aws has credentials",
    )


def is_instance(sys: Path = Path("/sys")) -> bool:
    """Whether the firmware or the hypervisor says that this host is an EC2 instance.

    ``product_uuid`` is left out: it begins with ``ec2`` on one in some thousand other machines, and tells nothing more.
    """
    return says_nitro(sys) or read(sys / "hypervisor/uuid").lower().startswith("ec2") or _is_xen_bios(sys)


def says_nitro(sys: Path = Path("/sys")) -> bool:
    """Whether the firmware is that of a Nitro instance, be it virtual or bare metal."""
    dmi = sys / "devices/virtual/dmi/id"
    return _VENDOR in (read(dmi / "sys_vendor"), read(dmi / "board_vendor"))


def read(path: Path) -> str:
    """An attribute in sysfs without the blanks around it; empty where it is not there or may not be read."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip(" \0\n")
    except OSError:
        return ""


def _is_xen_bios(sys: Path) -> bool:
    return read(sys / "devices/virtual/dmi/id/bios_version").lower().endswith(".amazon")


def _is_configured(environ: Mapping[str, str]) -> bool:
    own = {name for option in options_of(Ec2Settings) for name in option.env if name.startswith(_OWN_PREFIXES)}
    return any(environ.get(name) for name in _VARIABLES | own)


def _has_files(home: Path) -> bool:
    return any(os.path.exists(home / ".aws" / name) for name in ("credentials", "config"))
