"""``rexray deploy docker-plugin``: a managed Docker plugin, ready for ``docker plugin create``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from rexray import catalog
from rexray._version import __version__
from rexray.cli.base import Command
from rexray.core_settings import CoreSettings
from rexray.errors import BrokenPlugin, InUse
from rexray.registry import registry
from rexray_server.deploy import docker_plugin_rootfs as rootfs
from rexray_server.deploy.container import BASE
from rexray_server.deploy.docker_plugin_config import HostPath, config


def _host_paths(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[HostPath, ...]:
    try:
        return tuple(map(HostPath.parse, values))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True)


@click.command("docker-plugin", cls=Command)
@click.argument("directory", type=click.Path(path_type=Path, resolve_path=True))
@click.option("--driver", required=True, help="The storage driver that the plugin is for.")
@click.option("--name", help="What Docker calls it.  [default: rexray/DRIVER:VERSION]")
@click.option(
    "--base",
    default=BASE,
    show_default=True,
    help="The image that it is built on: Debian's, or one with Python and pip.",
)
@click.option("--rootfs", "root", type=_FOLDER, help="A root directory with Python to copy, instead of an image.")
@click.option("--wheels", type=_FOLDER, help="Install from the wheels there, instead of the package index.")
@click.option("--package", "packages", multiple=True, help="A Debian package to install in the image as well.")
@click.option(
    "--mount",
    "paths",
    multiple=True,
    callback=_host_paths,
    help="A path of the host that the plugin sees as well, as /path or /path:ro; it has to be there.",
)
@click.option("--create", is_flag=True, help="Have Docker make the plugin, which stays disabled.")
def command(
    directory: Path,
    driver: str,
    name: str | None,
    base: str,
    root: Path | None,
    wheels: Path | None,
    packages: tuple[str, ...],
    paths: tuple[HostPath, ...],
    create: bool,
) -> None:
    """Write config.json and rootfs of a managed Docker plugin to DIRECTORY, which is made."""
    settings = [*_settings(driver)]
    requirements = [*_requirements(driver)]
    if directory.exists() and any(directory.iterdir()):
        raise InUse(f"{directory} has something in it already: name a directory that is empty, or is not there")
    if root is not None and packages:
        raise click.UsageError("--package goes with an image: install it in the directory of --rootfs yourself")
    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        if root is not None:
            rootfs.from_directory(directory / "rootfs", root, requirements, wheels=wheels)
        else:
            rootfs.from_image(directory / "rootfs", base, requirements, wheels=wheels, packages=packages)
        content = config(driver, settings, version=__version__, host_paths=paths)
        (directory / "config.json").write_text(json.dumps(content, indent=2) + "\n")
    except BaseException:
        shutil.rmtree(directory if is_new else directory / "rootfs", ignore_errors=True)
        raise
    plugin = name or f"rexray/{driver}:{__version__}"
    if create:
        rootfs.docker("plugin", "create", plugin, os.fspath(directory))
        click.echo(f"{plugin} is made: set what it needs (docker plugin set), then say docker plugin enable {plugin}")
    else:
        click.echo(f"{directory} is ready: say docker plugin create {plugin} {directory}")


def _settings(driver: str) -> Iterator[type]:
    """The settings of everything but of other drivers."""
    mine = registry().storage_driver(driver).settings
    others = set()
    for entry in (entry for kind in ("storage", "csi") for entry in catalog.entries(kind)):
        others.add(registry().driver_of(entry).settings)
    for found in (CoreSettings, *registry().settings()):
        if found is mine or found not in others:
            yield found


def _requirements(driver: str) -> Iterator[str]:
    """The distributions that the plugin needs, in the versions that run here: the settings are those of these."""
    entries = [*catalog.entries("os"), catalog.find("commands", "server"), catalog.find("storage", driver)]
    found = {}
    for entry in entries:
        distribution = entry.distribution()
        if distribution is not None and entry.file is None:
            found[distribution.name] = distribution.version
        elif entry.kind == "storage":
            raise BrokenPlugin(f"driver {driver!r} is a file, and no distribution that can be installed: package it")
    yield from (f"{name}=={version}" for name, version in sorted(found.items()))
