"""``rexray snapshot``: the snapshots of this host's volume driver."""

from __future__ import annotations

import click

from rexray.cli.app import App
from rexray.cli.base import Group, current_app
from rexray.cli.chosen import volume_driver
from rexray.cli.output import emit
from rexray.drivers import Snapshots
from rexray.errors import Unsupported
from rexray.types import Snapshot, SnapshotId, VolumeId

COLUMNS = ("id", "name", "status", "volumeid")


def _snapshots(app: App) -> Snapshots:
    driver = volume_driver(app)
    if not isinstance(driver, Snapshots):
        raise Unsupported(f"volume driver {driver.name!r} takes no snapshots")
    return driver


def _row(snapshot: Snapshot) -> dict[str, object]:
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "status": snapshot.status,
        "volumeid": snapshot.volume_id,
        "sizebytes": snapshot.size_bytes,
        "created": snapshot.created.isoformat() if snapshot.created else "",
    }


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def snapshot(ctx: click.Context) -> None:
    """The snapshot manager."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_snapshots, snapshotid=None, volumeid=None)


@snapshot.command("ls", aliases=("get", "list"))
@click.option("--snapshotid", help="Only that snapshot.")
@click.option("--volumeid", help="Only the snapshots of that volume.")
def list_snapshots(snapshotid: str | None, volumeid: str | None) -> None:
    """List snapshots."""
    found = _snapshots(current_app()).snapshots(
        volume_id=VolumeId(volumeid) if volumeid else None,
        snapshot_id=SnapshotId(snapshotid) if snapshotid else None,
    )
    emit([_row(item) for item in found], COLUMNS)


@snapshot.command("create", aliases=("new",))
@click.option("--volumeid", required=True, help="The volume to take a snapshot of.")
@click.option("--snapshotname", required=True, help="The name of the snapshot.")
@click.option("--description", default="", help="A description.")
def create(volumeid: str, snapshotname: str, description: str) -> None:
    """Take a snapshot; one of that name and volume is success."""
    taken = _snapshots(current_app()).create_snapshot(VolumeId(volumeid), snapshotname, description)
    emit([_row(taken)], COLUMNS)


@snapshot.command("rm", aliases=("remove",))
@click.argument("ids", nargs=-1)
@click.option("--snapshotid", help="The snapshot to delete.")
def remove(ids: tuple[str, ...], snapshotid: str | None) -> None:
    """Delete snapshots, by their exact ids."""
    chosen = [*ids, *([snapshotid] if snapshotid else [])]
    if not chosen:
        raise click.UsageError("say which snapshot: an id or --snapshotid")
    snapshots = _snapshots(current_app())
    for item in chosen:
        snapshots.remove_snapshot(SnapshotId(item))
        click.echo(item)
