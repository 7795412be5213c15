"""``rexray volume``: the volumes of this host's volume driver. Every verb takes exact names, never a prefix."""

from __future__ import annotations

import functools

import click

from rexray.cli.base import Group, current_app
from rexray.cli.chosen import volume_driver
from rexray.cli.output import emit
from rexray.cli.rows import BLOCK_DEVICE, Row, block_device_row, volume_columns, volume_row
from rexray.cli.targets import Target, Verb, find, volume_targets
from rexray.cli.verbs import Manner
from rexray.types import AttachmentState


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def volume(ctx: click.Context) -> None:
    """The volume manager."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_volumes)


@volume.command("ls", aliases=("l", "list"))
@volume_targets(required=False)
@click.option("--attached", is_flag=True, help="Only volumes that are attached to this host.")
@click.option("--available", is_flag=True, help="Only volumes that are attached nowhere.")
@click.option("--path", is_flag=True, help="Also print where volumes are mounted.")
@click.option("-q", "--quiet", is_flag=True, help="Leave out the header.")
def list_volumes(targets: tuple[Target, ...], attached: bool, available: bool, path: bool, quiet: bool) -> None:
    """List all volumes, or those named."""
    driver = volume_driver(current_app())
    found = (find(driver, target) for target in targets) if targets else driver.list()
    wanted = {AttachmentState.ATTACHED: attached, AttachmentState.AVAILABLE: available}
    rows = [volume_row(item) for item in found if not (attached or available) or wanted.get(item.state)]
    emit(rows, functools.partial(volume_columns, path=path), quiet=quiet)


@volume.command("get")
@volume_targets(required=False)
def get(targets: tuple[Target, ...]) -> None:
    """Print this host's block devices as the storage platform knows them, all or those of the volumes named."""
    driver = volume_driver(current_app())
    devices = driver.devices()
    if targets:
        wanted = {find(driver, target).id: target.word for target in targets}
        devices = tuple(device for device in devices if device.volume_id in wanted)
        for missing in wanted.keys() - {device.volume_id for device in devices}:
            click.echo(f"note: volume {wanted[missing]!r} has no device on this host", err=True)
    emit([block_device_row(device) for device in devices], BLOCK_DEVICE, default="yaml")


@volume.command("map")
def device_map() -> None:
    """Print this host's block devices as the storage platform knows them."""
    devices = volume_driver(current_app()).devices()
    emit([block_device_row(device) for device in devices], BLOCK_DEVICE, default="yaml")


@volume.command("inspect")
@volume_targets()
def inspect(targets: tuple[Target, ...]) -> None:
    """Print all that is known of volumes."""
    driver = volume_driver(current_app())
    emit([volume_row(find(driver, target)) for target in targets], volume_columns, default="yaml")


@volume.command("path")
@volume_targets()
def path(targets: tuple[Target, ...]) -> None:
    """Print where volumes are mounted; nothing for one that is not."""
    driver = volume_driver(current_app())

    def act(name: str) -> Row:
        found = driver.path(name)
        return {"name": name, "path": str(found) if found else ""}

    Verb(driver=driver, manner=Manner(), doing="looking for", columns=("name", "path"), line="path").run(targets, act)


volume.add_target("create", "rexray.cli.volume_changes:create", ("c", "n", "new"))
volume.add_target("expand", "rexray.cli.volume_changes:expand")
volume.add_target("rm", "rexray.cli.volume_changes:remove", ("r", "remove", "delete", "del"))
volume.add_target("attach", "rexray.cli.volume_mounts:attach", ("a",))
volume.add_target("detach", "rexray.cli.volume_mounts:detach", ("d",))
volume.add_target("mount", "rexray.cli.volume_mounts:mount", ("m",))
volume.add_target("unmount", "rexray.cli.volume_mounts:unmount", ("u", "umount"))
