"""``rexray snapshot``: the snapshots of this host's volume driver. Every verb takes exact ids or names."""

from __future__ import annotations

import click

from rexray.cli.base import Group, current_app
from rexray.cli.chosen import volume_driver
from rexray.cli.output import Printer, emit
from rexray.cli.progress import progress
from rexray.cli.rows import SNAPSHOT, Row, snapshot_row, volume_columns, volume_row
from rexray.cli.snapshot_names import Finder, snapshot_targets
from rexray.cli.targets import Target, find, volume_targets
from rexray.cli.verbs import Manner, each, manner, runasync
from rexray.drivers import VolumeDriver
from rexray.errors import InvalidRequest
from rexray.mixins import Rollback, SnapshotCopy, Snapshots
from rexray.types import VolumeId


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def snapshot(ctx: click.Context) -> None:
    """The snapshot manager."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_snapshots)


@snapshot.command("ls", aliases=("list",))
@snapshot_targets(required=False)
@click.option("--volumename", metavar="NAME", help="Only the snapshots of that volume.")
@click.option("--volumeid", metavar="ID", help="The same by its id, which also finds those of a deleted volume.")
@click.option("-q", "--quiet", is_flag=True, help="Leave out the header.")
def list_snapshots(targets: tuple[Target, ...], volumename: str | None, volumeid: str | None, quiet: bool) -> None:
    """List snapshots."""
    emit(_listed(targets, volumename, volumeid), SNAPSHOT, quiet=quiet)


@snapshot.command("get")
@snapshot_targets(required=False)
@click.option("--volumename", metavar="NAME", help="Only the snapshots of that volume.")
@click.option("--volumeid", metavar="ID", help="The same by its id, which also finds those of a deleted volume.")
def get(targets: tuple[Target, ...], volumename: str | None, volumeid: str | None) -> None:
    """Print all that is known of snapshots."""
    emit(_listed(targets, volumename, volumeid), SNAPSHOT, default="yaml")


def _listed(targets: tuple[Target, ...], volumename: str | None, volumeid: str | None) -> list[Row]:
    driver = volume_driver(current_app())
    finder = Finder(driver.capability(Snapshots), _volume_of(driver, volumename, volumeid))
    found = [finder.one(target) for target in targets] if targets else finder.all()
    return [snapshot_row(item) for item in found]


def _volume_of(driver: VolumeDriver, volumename: str | None, volumeid: str | None) -> VolumeId | None:
    if volumename and volumeid:
        raise click.UsageError("--volumename and --volumeid say the same thing: give one of them")
    if volumename:
        return find(driver, Target(volumename, "name")).id
    return VolumeId(volumeid) if volumeid else None


@snapshot.command("create", aliases=("new",))
@volume_targets(several=False)
@click.option("--snapshotname", required=True, help="The name of the snapshot.")
@click.option("--description", default="", help="A description.")
@runasync
@manner
def create(targets: tuple[Target, ...], snapshotname: str, description: str, manner: Manner) -> None:
    """Take a snapshot of a volume; one of that name and volume is success."""
    driver = volume_driver(current_app())
    snapshots = driver.capability(Snapshots)

    def act(target: Target) -> Row:
        volume = find(driver, target)
        if manner.dry_run:
            return {"id": "", "name": snapshotname, "status": "", "volumeid": volume.id, "description": description}
        with progress(f"taking a snapshot of {target.word!r}"):
            return snapshot_row(snapshots.create_snapshot(volume.id, snapshotname, description))

    each(targets, act, Printer(SNAPSHOT, quiet=manner.quiet), manner)


@snapshot.command("rm", aliases=("remove",))
@snapshot_targets()
@manner
def remove(targets: tuple[Target, ...], manner: Manner) -> None:
    """Delete snapshots; print the name or id of each."""
    snapshots = volume_driver(current_app()).capability(Snapshots)
    finder = Finder(snapshots)
    found = {} if manner.continue_on_error else {target: finder.one(target) for target in targets}

    def act(target: Target) -> Row:
        item = found.get(target) or finder.one(target)
        if manner.dry_run:
            return snapshot_row(item)
        with progress(f"deleting {target.word!r}"):
            snapshots.remove_snapshot(item.id)
        return {"name": target.word}

    printer = Printer(("name",), line="name", quiet=manner.quiet)
    each(targets, act, Printer(SNAPSHOT, quiet=manner.quiet) if manner.dry_run else printer, manner)


@snapshot.command("copy")
@snapshot_targets()
@click.option("--volumename", metavar="NAME", help="The snapshot is one of that volume.")
@click.option("--volumeid", metavar="ID", help="The same by the volume's id.")
@click.option("--destinationregion", required=True, metavar="REGION", help="The region that it is copied to.")
@click.option("--destinationsnapshotname", metavar="NAME", help="The name of the copy, if it shall be another.")
@runasync
@manner
def copy(
    targets: tuple[Target, ...],
    volumename: str | None,
    volumeid: str | None,
    destinationregion: str,
    destinationsnapshotname: str | None,
    manner: Manner,
) -> None:
    """Copy snapshots to another region; a copy of that name is success."""
    if destinationsnapshotname and len(targets) > 1:
        raise click.UsageError("--destinationsnapshotname names one copy: copy one snapshot at a time")
    driver = volume_driver(current_app())
    copier = driver.capability(SnapshotCopy)
    finder = Finder(driver.capability(Snapshots), _volume_of(driver, volumename, volumeid))

    def act(target: Target) -> Row:
        item = finder.one(target)
        if manner.dry_run:
            return snapshot_row(item)
        name = destinationsnapshotname or item.name or item.id
        with progress(f"copying {target.word!r}"):
            return snapshot_row(copier.copy_snapshot(item.id, name, destinationregion))

    each(targets, act, Printer(SNAPSHOT, quiet=manner.quiet), manner)


@snapshot.command("rollback")
@snapshot_targets(several=False)
@click.option("--volumename", metavar="NAME", help="The volume, if its name shall be checked.")
@click.option("--volumeid", "--volume", metavar="ID", help="The same by its id.")
@manner
def rollback(targets: tuple[Target, ...], volumename: str | None, volumeid: str | None, manner: Manner) -> None:
    """Put a volume back to one of its snapshots: what was written since is lost. It must not be attached."""
    driver = volume_driver(current_app())
    roller = driver.capability(Rollback)
    volume_id = _volume_of(driver, volumename, volumeid)
    finder = Finder(driver.capability(Snapshots))

    def act(target: Target) -> Row:
        item = finder.one(target)
        if volume_id not in (None, item.volume_id):
            raise InvalidRequest(f"snapshot {target.word!r} is of volume {item.volume_id!r}, not of {volume_id!r}")
        if manner.dry_run:
            return volume_row(driver.get(item.volume_id))
        with progress(f"rolling back {item.volume_id!r}"):
            return volume_row(roller.rollback(item.volume_id, item.id))

    each(targets, act, Printer(volume_columns, quiet=manner.quiet), manner)
