"""The name of this host's iSCSI initiator.

Facts: iscsid(8) of open-iscsi: ``/etc/iscsi/initiatorname.iscsi`` has a line ``InitiatorName=iqn...``. RFC 7143 4.2.7:
a name begins with ``iqn.``, ``eui.`` or ``naa.`` and has no more than 223 bytes.
"""

from __future__ import annotations

import re
from pathlib import Path

from rexray.errors import SettingsError

NAME = re.compile(r"(?:iqn|eui|naa)\.[a-zA-Z0-9.:-]{1,219}")

_LINE = re.compile(r"\s*InitiatorName\s*=\s*(\S+)\s*")
FILE = Path("iscsi/initiatorname.iscsi")
"""Below /etc."""


def initiator_name(setting: str, etc: Path) -> str:
    """The setting, else what open-iscsi's file says; ``SettingsError`` says what to do where neither has a name."""
    if setting:
        return _checked(setting, "xtremio.initiator")
    file = etc / FILE
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError as error:
        raise SettingsError(
            f"{file}: {error.strerror}: install the package open-iscsi, or set xtremio.initiator to the name (IQN) "
            "of this host's initiator"
        ) from None
    for line in lines:
        if match := _LINE.fullmatch(line):
            return _checked(match[1], str(file))
    raise SettingsError(
        f"{file} has no line InitiatorName=: start iscsid once, which makes one, or set xtremio.initiator to the name "
        "(IQN) of this host's initiator"
    )


def _checked(name: str, where: str) -> str:
    if not NAME.fullmatch(name):
        raise SettingsError(f"{where}: {name!r} is no name of an initiator such as iqn.1993-08.org.debian:01:abc")
    return name
