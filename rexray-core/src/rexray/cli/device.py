"""``rexray device``: this host's mounts and devices, through its OS driver."""

from __future__ import annotations

from pathlib import Path

import click

from rexray.cli.base import Group, current_app
from rexray.cli.chosen import os_driver
from rexray.cli.output import emit
from rexray.types import Device

COLUMNS = ("source", "mountpoint", "fstype")


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def device(ctx: click.Context) -> None:
    """The device manager."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_mounts, devicename="", mountpoint=None)


@device.command("ls", aliases=("get", "list"))
@click.option("--devicename", default="", help="Only the mounts of that device.")
@click.option("--mountpoint", type=click.Path(path_type=Path), help="Only the mount at that path.")
def list_mounts(devicename: str, mountpoint: Path | None) -> None:
    """List the mounts of this host."""
    mounts = os_driver(current_app()).mounts(source=devicename, target=mountpoint)
    rows = [{"source": item.source, "mountpoint": str(item.path), "fstype": item.fs_type} for item in mounts]
    emit(rows, COLUMNS)


@device.command("mount")
@click.option("--devicename", required=True, type=click.Path(path_type=Path), help="The device to mount.")
@click.option("--mountpoint", required=True, type=click.Path(path_type=Path), help="Where to mount it.")
@click.option("--mountoptions", default="", help="Mount options, with commas between them.")
def mount(devicename: Path, mountpoint: Path, mountoptions: str) -> None:
    """Mount a device."""
    options = tuple(option for option in mountoptions.split(",") if option)
    click.echo(os_driver(current_app()).mount(Device(path=devicename), mountpoint, options=options).path)


@device.command("unmount", aliases=("umount",))
@click.option("--mountpoint", required=True, type=click.Path(path_type=Path), help="What to unmount.")
def unmount(mountpoint: Path) -> None:
    """Unmount what is mounted at a path."""
    os_driver(current_app()).unmount(mountpoint)


@device.command("format")
@click.option("--devicename", required=True, type=click.Path(path_type=Path), help="The device to format.")
@click.option("--fstype", default="ext4", show_default=True, help="The filesystem to make.")
@click.option("--overwritefs", is_flag=True, help="Also when the device is not blank: what it holds is lost.")
def format_device(devicename: Path, fstype: str, overwritefs: bool) -> None:
    """Make a filesystem on a blank device."""
    os_driver(current_app()).format(Device(path=devicename), fstype, overwrite=overwritefs)
