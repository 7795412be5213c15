"""Who owns a volume's directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rexray.errors import Forbidden


def apply_parameters(folder: Path, parameters: Mapping[str, str]) -> None:
    """Give a directory, not what is in it, the owner and permissions of a volume's parameters."""
    try:
        if "uid" in parameters or "gid" in parameters:
            os.chown(folder, int(parameters.get("uid", -1)), int(parameters.get("gid", -1)), follow_symlinks=False)
        if "mode" in parameters:
            os.chmod(folder, int(parameters["mode"].removeprefix("0o"), 8))
    except PermissionError as error:
        raise Forbidden(f"parameters uid, gid, mode: this process may not change them: {error.strerror}") from None
