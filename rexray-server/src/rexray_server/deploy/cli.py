"""``rexray deploy``: its commands are imported when they run."""

from __future__ import annotations

import click

from rexray.cli.base import Group


@click.group(cls=Group)
def deploy() -> None:
    """Print, or write, what runs REX-Ray elsewhere."""


deploy.add_target("systemd", "rexray_server.deploy.commands:systemd")
deploy.add_target("kubernetes", "rexray_server.deploy.commands:kubernetes")
deploy.add_target("nomad", "rexray_server.deploy.commands:nomad")
deploy.add_target("container", "rexray_server.deploy.commands:container")
deploy.add_target("docker-plugin", "rexray_server.deploy.docker_plugin:command")
