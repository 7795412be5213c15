"""What the server registers: its commands and its settings."""

from __future__ import annotations

from collections.abc import Sequence

from rexray import hookimpl
from rexray.cli.commands import CommandSpec


@hookimpl
def rexray_commands() -> Sequence[CommandSpec]:
    """The service controller, and its verbs at the root as the original has them."""
    verbs = {
        "start": "Start the service",
        "stop": "Stop the service",
        "restart": "Restart the service",
        "status": "Print whether the service runs",
    }
    host_verbs = {
        "install": "Install the service on this host",
        "uninstall": "Remove the service from this host",
    }
    return [
        CommandSpec(name="service", help="The service controller", target="rexray_server.cli:service"),
        CommandSpec(name="deploy", help="What runs REX-Ray elsewhere", target="rexray_server.deploy.cli:deploy"),
        *(
            CommandSpec(name=name, help=text, target=f"rexray_server.hosts.cli:{name}")
            for name, text in host_verbs.items()
        ),
        *(
            CommandSpec(name=name, help=text, target=f"rexray_server.cli:{name}", hidden=True)
            for name, text in verbs.items()
        ),
    ]


@hookimpl
def rexray_settings() -> Sequence[type]:
    """The settings of the daemon."""
    from rexray.csi.settings import CSISettings
    from rexray_server.log_settings import LogSettings
    from rexray_server.monitoring.settings import MonitoringSettings
    from rexray_server.settings import ServerSettings

    return [CSISettings, LogSettings, MonitoringSettings, ServerSettings]
