"""The commands of ``rexray deploy`` but for that of the managed Docker plug-in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rexray._version import __version__
from rexray.cli.base import Command, current_app
from rexray.errors import InvalidRequest
from rexray_server.deploy.output import deliver, yaml_of

_output = click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    help="Write files into this folder; printed if not given.",
)
_force = click.option("--force", is_flag=True, help="Replace files in that folder that somebody changed.")
_driver = click.option("--driver", default="", help="The driver to deploy, where the settings do not say it.")
_image = click.option("--image", default=f"rexray:{__version__}", show_default=True, help="The container image.")
_host_paths = click.option(
    "--host-path",
    "host_paths",
    multiple=True,
    help="A directory of each host that nodes read, or write to after ':rw'.",
)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _namespace(default: str) -> Decorator:
    text = "The namespace of all that is made."
    return click.option("--namespace", default=default, show_default=True, callback=_checked_namespace, help=text)


def _checked_namespace(_: click.Context, __: click.Parameter, name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):  # RFC 1123's label, which both take
        raise click.BadParameter(f"{name!r} is no namespace: use small letters, digits and hyphens, at most 63")
    return name


@click.command("systemd", cls=Command)
@click.option(
    "--program", default="/usr/bin/rexray", show_default=True, help="The command line of rexray on the hosts."
)
@_output
@_force
def systemd(program: str, directory: Path | None, force: bool) -> None:
    """The units of the service and of its socket, as 'rexray install' writes them."""
    from rexray.paths import system_paths
    from rexray_server.hosts.install import checked
    from rexray_server.hosts.units import service_unit, socket_unit

    files = {"rexray.service": service_unit(checked(program), system_paths()), "rexray.socket": socket_unit()}
    deliver(files, directory, force=force)


@click.command("kubernetes", cls=Command)
@_driver
@_namespace("rexray")
@_image
@_host_paths
@click.option(
    "--health-port", type=click.IntRange(1, 65535), default=9808, show_default=True, help="A port of each host."
)
@_output
@_force
def kubernetes(
    driver: str,
    namespace: str,
    image: str,
    host_paths: tuple[str, ...],
    health_port: int,
    directory: Path | None,
    force: bool,
) -> None:
    """The objects of a CSI plug-in for Kubernetes: --config goes along, credentials come from a Secret."""
    from rexray_server.deploy.kubernetes import Cluster, objects
    from rexray_server.deploy.subject import subject_of

    subject = subject_of(current_app(), driver)
    cluster = Cluster(namespace=namespace, image=image, host_paths=_absolute(host_paths), health_port=health_port)
    deliver({f"{subject.name}.yaml": yaml_of(objects(subject, cluster))}, directory, force=force)


@click.command("nomad", cls=Command)
@_driver
@_namespace("default")
@_image
@_host_paths
@_output
@_force
def nomad(
    driver: str, namespace: str, image: str, host_paths: tuple[str, ...], directory: Path | None, force: bool
) -> None:
    """The jobs of a CSI plug-in for Nomad: --config goes along, credentials come from the job's variables."""
    from rexray_server.deploy.nomad import Nomad, controller_job, node_job
    from rexray_server.deploy.subject import subject_of

    subject = subject_of(current_app(), driver)
    where = Nomad(namespace=namespace, image=image, host_paths=_absolute(host_paths))
    files = {
        f"{subject.name}-controller.nomad.hcl": controller_job(subject, where),
        f"{subject.name}-node.nomad.hcl": node_job(subject, where),
    }
    deliver(files, directory, force=force)


@click.command("container", cls=Command)
@_driver
@click.option("--package", "packages", multiple=True, help="A further package of Debian, such as a platform's client.")
@click.option("--wheels", default="", help="A folder of the build context with wheels to install from.")
@_output
@_force
def container(driver: str, packages: tuple[str, ...], wheels: str, directory: Path | None, force: bool) -> None:
    """The recipe of a container image, in the versions that are installed here."""
    from rexray_server.deploy.container import containerfile
    from rexray_server.deploy.subject import subject_of

    subject = subject_of(current_app(), driver)
    deliver({"Containerfile": containerfile(subject, packages=packages, wheels=wheels)}, directory, force=force)


def _absolute(paths: tuple[str, ...]) -> tuple[str, ...]:
    for path in paths:
        if not path.startswith("/") or ":" in path.removesuffix(":rw") or not path.isprintable():
            raise InvalidRequest(f"{path!r} is no directory of a host: write its whole path, with :rw behind it or not")
    return paths
