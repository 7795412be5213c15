"""``rexray device``: this host's mounts and devices, through its OS driver."""

from __future__ import annotations

from pathlib import Path

import click

from rexray.cli.base import Group, current_app
from rexray.cli.chosen import os_driver
from rexray.cli.output import emit
from rexray.cli.progress import progress
from rexray.cli.rows import MOUNT, Row, mount_row
from rexray.cli.verbs import F
from rexray.types import Device

PATH = click.Path(path_type=Path)

devicename_option = click.option("--deviceName", "devicename", type=PATH, metavar="DEVICE", help="The device.")
mountpoint_option = click.option("--mountPoint", "mountpoint", type=PATH, metavar="PATH", help="The mount point.")
dry_run_option = click.option("-n", "--dryRun", is_flag=True, help="Do nothing: print what it would be done to.")


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def device(ctx: click.Context) -> None:
    """The device manager."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_mounts)


def _which(function: F) -> F:
    """The flags that say which mounts to list."""
    for option in (mountpoint_option, devicename_option, click.argument("source", required=False, metavar="[DEVICE]")):
        function = option(function)
    return function


@device.command("ls", aliases=("list",))
@_which
@click.option("-q", "--quiet", is_flag=True, help="Leave out the header.")
def list_mounts(source: str | None, devicename: Path | None, mountpoint: Path | None, quiet: bool) -> None:
    """List the mounts of this host, all or those of a device or at a mount point."""
    emit(_listed(source, devicename, mountpoint), MOUNT, quiet=quiet)


@device.command("get")
@_which
def get(source: str | None, devicename: Path | None, mountpoint: Path | None) -> None:
    """Print all that is known of the mounts of this host."""
    emit(_listed(source, devicename, mountpoint), MOUNT, default="yaml")


def _listed(source: str | None, devicename: Path | None, mountpoint: Path | None) -> list[Row]:
    wanted = str(_one_of(source, devicename, "device")) if source or devicename else ""
    return [mount_row(item) for item in os_driver(current_app()).mounts(source=wanted, target=mountpoint)]


def _one_of(argument: str | Path | None, option: Path | None, what: str) -> Path:
    """What was said as an argument or by a flag, but not both."""
    if argument is not None and option is not None:
        raise click.UsageError(f"the {what} is said twice, as {str(argument)!r} and as {str(option)!r}")
    found = argument if argument is not None else option
    if found is None:
        raise click.UsageError(f"say which {what}")
    return Path(found)


@device.command("mount")
@click.argument("source", required=False, metavar="[DEVICE]")
@click.argument("target", required=False, type=PATH, metavar="[PATH]")
@devicename_option
@mountpoint_option
@click.option("--mountOptions", "mountoptions", default="", help="Options of mount(8), with commas between them.")
@click.option("--mountLabel", "mountlabel", default="", help="The SELinux context of all that is in it.")
@dry_run_option
def mount(
    source: str | None,
    target: Path | None,
    devicename: Path | None,
    mountpoint: Path | None,
    mountoptions: str,
    mountlabel: str,
    dryrun: bool,
) -> None:
    """Mount a device and print where."""
    where, what = _one_of(target, mountpoint, "mount point"), _one_of(source, devicename, "device")
    options = tuple(option for option in mountoptions.split(",") if option)
    options += (f'context="{mountlabel}"',) if mountlabel else ()
    driver = os_driver(current_app())
    if dryrun:
        emit([{"source": str(what), "mountpoint": str(where), "fstype": "", "options": list(options)}], MOUNT)
        return
    with progress(f"mounting {str(what)!r}"):
        mounted = driver.mount(Device(path=what), where, options=options)
    click.echo(mounted.path)


@device.command("unmount", aliases=("umount",))
@click.argument("target", required=False, type=PATH, metavar="[PATH]")
@mountpoint_option
@dry_run_option
def unmount(target: Path | None, mountpoint: Path | None, dryrun: bool) -> None:
    """Unmount what is mounted at a path."""
    where = _one_of(target, mountpoint, "mount point")
    driver = os_driver(current_app())
    if dryrun:
        emit([mount_row(item) for item in driver.mounts(target=where)], MOUNT)
        return
    with progress(f"unmounting {str(where)!r}"):
        driver.unmount(where)


@device.command("format")
@click.argument("source", required=False, metavar="[DEVICE]")
@devicename_option
@click.option("--fsType", "fstype", default="ext4", show_default=True, help="The filesystem to make.")
@click.option("--overwriteFS", "overwritefs", is_flag=True, help="Even if it holds data, which is then lost.")
@dry_run_option
def format_device(source: str | None, devicename: Path | None, fstype: str, overwritefs: bool, dryrun: bool) -> None:
    """Make a filesystem on a blank device."""
    what = Device(path=_one_of(source, devicename, "device"))
    driver = os_driver(current_app())
    if dryrun:
        columns = ("source", "holds", "fstype")
        emit([{"source": str(what.path), "holds": driver.probe(what), "fstype": fstype}], columns)
        return
    with progress(f"formatting {str(what.path)!r}"):
        driver.format(what, fstype, overwrite=overwritefs)
