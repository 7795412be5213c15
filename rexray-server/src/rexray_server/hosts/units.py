"""The systemd units of the service.

They work from systemd 247 on. Facts: systemd.unit(5), systemd.service(5), systemd.kill(5), systemd.exec(5).
"""

from __future__ import annotations

import shlex
from pathlib import Path
from string import Template

from rexray.paths import Paths

SERVICE = Path("/etc/systemd/system/rexray.service")
SOCKET = Path("/etc/systemd/system/rexray.socket")

_SERVICE = Template("""\
[Unit]
Description=REX-Ray
# Docker asks for its volumes as it starts, and stops first: containers let go of them before the service does.
Before=docker.service
Wants=network-online.target scini.service
After=network-online.target remote-fs-pre.target iscsid.socket iscsid.service multipathd.service scini.service
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
# notify-reload needs systemd 253: with notify, ExecReload= does the same.
Type=notify
NotifyAccess=main
EnvironmentFile=-$env
ExecStart=$program start -f
ExecReload=/bin/kill -HUP $$MAINPID
TimeoutStartSec=60
TimeoutStopSec=45
WatchdogSec=60
Restart=on-failure
RestartSec=5
# The processes that show volumes, FUSE servers among them, outlive the service: volumes stay mounted when it stops.
KillMode=process
# One of them that runs out of memory is no reason to stop the service, and none should be the first to go.
OOMPolicy=continue
OOMScoreAdjust=-900

# What would give the service a mount namespace of its own is left out: Docker and the kubelet have to see its mounts.
# That is ProtectSystem=, ProtectHome=, PrivateTmp=, PrivateDevices=, ProtectKernelTunables=, ProtectKernelModules=,
# ProtectKernelLogs=, ProtectControlGroups=, ProtectProc=, PrivateMounts=, MountFlags= and all that names paths.
# ProtectClock= would forbid every device but the clock, ProtectHostname= hide a new host name, RestrictSUIDSGID= forbid
# the modes that FUSE servers set for containers, MemoryDenyWriteExecute= break the calls of C libraries.
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_ALG
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @debug @obsolete @reboot @swap
SystemCallErrorNumber=EPERM
# Mounts, devices and modules; the files of any user; the processes that hold volumes; ports of NFS; locked keys.
CapabilityBoundingSet=CAP_SYS_ADMIN CAP_SYS_MODULE CAP_SYS_RAWIO CAP_MKNOD CAP_SYS_RESOURCE CAP_SYS_NICE
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_SETFCAP
CapabilityBoundingSet=CAP_LINUX_IMMUTABLE CAP_SETUID CAP_SETGID CAP_SYS_CHROOT CAP_KILL CAP_SYS_PTRACE
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_IPC_LOCK CAP_IPC_OWNER

[Install]
WantedBy=multi-user.target
""")

_SOCKET = """\
[Unit]
Description=REX-Ray's socket for Docker and CSI
Before=docker.service

[Socket]
ListenStream=/run/docker/plugins/rexray.sock
SocketMode=0600
DirectoryMode=0755
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""


def service_unit(program: str, paths: Paths) -> str:
    """The unit of the service; ``program`` is the command line of ``rexray``, in which ``%`` and ``$`` are plain."""
    words = [word.replace("%", "%%").replace("$", "$$") for word in shlex.split(program)]
    command = " ".join(f'"{word}"' if " " in word else word for word in words)
    return _SERVICE.substitute(program=command, env=str(paths.etc / "rexray.env").replace("%", "%%"))


def socket_unit() -> str:
    """The unit by which systemd listens where Docker looks, and starts the service when somebody calls."""
    return _SOCKET
