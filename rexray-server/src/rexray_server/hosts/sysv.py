"""The script for ``/etc/init.d``, and the file that rotates the log of a service in the background."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path
from string import Template

from rexray.paths import Paths

SCRIPT = Path("/etc/init.d/rexray")
LOGROTATE = Path("/etc/logrotate.d/rexray")

_LOGROTATE = Template("""\
# The log of a service in the background; under systemd the journal has it.
# copytruncate, because the service and its helpers hold the file open.
"$log" {
    weekly
    rotate 8
    maxsize 50M
    missingok
    notifempty
    compress
    delaycompress
    copytruncate
}
""")


def script(program: str, paths: Paths) -> str:
    """The script, for any POSIX shell; ``program`` is the command line of ``rexray``."""
    text = (files("rexray_server.hosts") / "rexray.init").read_text(encoding="utf-8")
    for placeholder, value in (
        ("@PROGRAM@", shlex.join(shlex.split(program))),
        ("@DAEMON@", shlex.quote(shlex.split(program)[0])),
        ("@ENV@", shlex.quote(str(paths.etc / "rexray.env"))),
        ("@PIDFILE@", shlex.quote(str(paths.pid_file))),
    ):
        text = text.replace(placeholder, value)
    return text


def logrotate(paths: Paths) -> str:
    """The file for logrotate, which says how the log is rotated."""
    return _LOGROTATE.substitute(log=paths.log_file)
