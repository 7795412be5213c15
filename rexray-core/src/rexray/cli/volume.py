"""``rexray volume``: the volumes of this host's volume driver. Every verb takes exact names, never a prefix."""

from __future__ import annotations

import click

from rexray.cli.base import Group, current_app
from rexray.cli.chosen import volume_driver
from rexray.cli.output import emit
from rexray.errors import InvalidRequest
from rexray.sizes import format_size
from rexray.types import SHELL_HOLDER, InstanceId, MountRequest, Volume

COLUMNS = ("id", "name", "status", "size")


def _row(volume: Volume) -> dict[str, object]:
    return {
        "id": volume.id,
        "name": volume.name,
        "status": volume.state.value,
        "size": format_size(volume.size_bytes) if volume.size_bytes else "",
        "sizebytes": volume.size_bytes,
        "path": next((item.mount_point for item in volume.attachments if item.mount_point), ""),
        "instances": [item.instance_id for item in volume.attachments],
        "fields": dict(volume.fields),
    }


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def volume(ctx: click.Context) -> None:
    """The volume manager."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_volumes, names=(), path=False, quiet=False)


@volume.command("ls", aliases=("l", "list", "get", "inspect"))
@click.argument("names", nargs=-1)
@click.option("--path", is_flag=True, help="Also print where volumes are mounted.")
@click.option("-q", "--quiet", is_flag=True, help="Leave out the header.")
def list_volumes(names: tuple[str, ...], path: bool, quiet: bool) -> None:
    """List all volumes, or those named."""
    driver = volume_driver(current_app())
    volumes = (driver.get(name) for name in names) if names else driver.list()
    emit([_row(item) for item in volumes], (*COLUMNS, "path") if path else COLUMNS, quiet=quiet)


@volume.command("create", aliases=("c", "n", "new"))
@click.argument("names", nargs=-1, required=True)
@click.option("--size", help="The size: GiB, or with a unit such as 512MiB.")
@click.option("-o", "--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the driver's.")
def create(names: tuple[str, ...], size: str | None, options: tuple[str, ...]) -> None:
    """Create volumes; one that exists as asked is success."""
    chosen = {"size": size} if size else {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise InvalidRequest(f"--option {option!r} is not KEY=VALUE")
        chosen[key] = value
    driver = volume_driver(current_app())
    emit([_row(driver.create(name, chosen)) for name in names], COLUMNS)


@volume.command("rm", aliases=("r", "remove", "delete", "del"))
@click.argument("names", nargs=-1, required=True)
def remove(names: tuple[str, ...]) -> None:
    """Delete volumes and their data."""
    driver = volume_driver(current_app())
    for name in names:
        driver.remove(name)
        click.echo(name)


@volume.command("mount", aliases=("m",))
@click.argument("names", nargs=-1, required=True)
@click.option("--read-only", is_flag=True, help="Mount read-only.")
def mount(names: tuple[str, ...], read_only: bool) -> None:
    """Mount volumes and print where."""
    driver = volume_driver(current_app())
    for name in names:
        click.echo(driver.mount(MountRequest(name=name, holder=SHELL_HOLDER, read_only=read_only)).path)


@volume.command("unmount", aliases=("u", "umount"))
@click.argument("names", nargs=-1, required=True)
def unmount(names: tuple[str, ...]) -> None:
    """Let go of the mounts made by 'volume mount'; volumes that others hold stay mounted."""
    driver = volume_driver(current_app())
    for name in names:
        driver.unmount(name, SHELL_HOLDER)


@volume.command("path")
@click.argument("names", nargs=-1, required=True)
def path(names: tuple[str, ...]) -> None:
    """Print where volumes are mounted; nothing for one that is not."""
    driver = volume_driver(current_app())
    for name in names:
        found = driver.path(name)
        if found is not None:
            click.echo(found)


@volume.command("attach", aliases=("a",))
@click.argument("names", nargs=-1, required=True)
@click.option("-i", "--instanceid", required=True, help="The instance to attach to.")
def attach(names: tuple[str, ...], instanceid: str) -> None:
    """Attach volumes to an instance without mounting them."""
    driver = volume_driver(current_app())
    for name in names:
        click.echo(driver.attach(name, InstanceId(instanceid)).token)


@volume.command("detach", aliases=("d",))
@click.argument("names", nargs=-1, required=True)
@click.option("-i", "--instanceid", required=True, help="The instance to detach from.")
def detach(names: tuple[str, ...], instanceid: str) -> None:
    """Detach volumes from an instance."""
    driver = volume_driver(current_app())
    for name in names:
        driver.detach(name, InstanceId(instanceid))
