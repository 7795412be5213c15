"""``rexray volume attach``, ``detach``, ``mount`` and ``unmount``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import click

from rexray.cli.base import Command, current_app
from rexray.cli.chosen import volume_driver
from rexray.cli.output import Printer
from rexray.cli.progress import progress
from rexray.cli.rows import ATTACHMENT, Row, attachment_row, volume_columns, volume_row
from rexray.cli.targets import Target, Verb, volume_targets
from rexray.cli.verbs import Manner, idempotent, manner, runasync
from rexray.drivers import VolumeDriver
from rexray.errors import NotFound, RexrayError
from rexray.types import SHELL_HOLDER, InstanceId, MountRequest

instance_option = click.option("--instanceid", metavar="ID", help="The instance; this host if left out.")


@click.command("attach", cls=Command)
@volume_targets()
@instance_option
@click.option("--force", is_flag=True, help="Take the volume from the instance that has it.")
@idempotent
@runasync
@manner
def attach(targets: tuple[Target, ...], instanceid: str | None, force: bool, manner: Manner) -> None:
    """Attach volumes to this host, or to another instance, without mounting them."""
    driver = volume_driver(current_app())
    where = _instance(driver, instanceid)

    def act(name: str) -> Row:
        return {"name": name, **attachment_row(driver.attach(name, where(), force=force))}

    Verb(driver=driver, manner=manner, doing="attaching", columns=ATTACHMENT).run(targets, act)


@click.command("detach", cls=Command)
@volume_targets()
@instance_option
@click.option("--force", is_flag=True, help="Tell the platform to detach it whatever hangs on it.")
@idempotent
@runasync
@manner
def detach(targets: tuple[Target, ...], instanceid: str | None, force: bool, manner: Manner) -> None:
    """Detach volumes from this host, or from another instance; print the name or id of each."""
    driver = volume_driver(current_app())
    where = _instance(driver, instanceid)

    def act(name: str) -> Row:
        driver.detach(name, where(), force=force)
        return {"name": name}

    Verb(driver=driver, manner=manner, doing="detaching", columns=("name",), line="name").run(targets, act)


def _instance(driver: VolumeDriver, instanceid: str | None) -> Callable[[], InstanceId]:
    """The instance that was named, or this host."""
    return lambda: InstanceId(instanceid) if instanceid else driver.instance_id()


@click.command("mount", cls=Command)
@volume_targets()
@click.option("--read-only", is_flag=True, help="Mount read-only.")
@click.option("--fsType", default="", help="The filesystem that is made if the volume is blank.")
@click.option("--overwriteFS", is_flag=True, help="Make a new filesystem: what the volume holds is lost.")
@click.option("--force", is_flag=True, help="Take the volume from the instance that has it.")
@idempotent
@manner
def mount(
    targets: tuple[Target, ...], read_only: bool, fstype: str, overwritefs: bool, force: bool, manner: Manner
) -> None:
    """Attach and mount volumes, and print where."""
    driver = volume_driver(current_app())

    def act(name: str) -> Row:
        request = MountRequest(
            name=name,
            holder=SHELL_HOLDER,
            read_only=read_only,
            fs_type=fstype,
            overwrite_fs=overwritefs,
            preempt=force,
        )
        mounted = driver.mount(request)
        return {"name": name, "path": str(mounted.path), "readonly": mounted.read_only}

    verb = Verb(
        driver=driver, manner=manner, doing="mounting", columns=("name", "path"), line="path", checked=False
    )  # a driver may make what it is to mount
    verb.run(targets, act)


@click.command("unmount", cls=Command)
@volume_targets(required=False)
@click.option("--all", "everything", is_flag=True, help="Unmount every volume of this host, whoever holds it.")
@idempotent
@manner
def unmount(targets: tuple[Target, ...], everything: bool, manner: Manner) -> None:
    """Let go of the mounts made by 'volume mount'; volumes that others hold stay mounted.

    The name or id of each volume is printed. With --all nothing stays mounted: it drains the host.
    """
    if everything == bool(targets):
        raise click.UsageError("say which volumes, or --all of them")
    driver = volume_driver(current_app())
    if everything:
        _drain(driver, manner)
        return

    left: list[str] = []

    def act(name: str) -> Row:
        if _let_go(driver, name):
            left.append(name)
        return {"name": name}

    verb = Verb(driver=driver, manner=manner, doing="unmounting", columns=("name",), line="name", checked=False)
    try:
        verb.run(targets, act)
    finally:
        for name in left:
            click.echo(f"note: volume {name!r} stays mounted for others", err=True)


def _let_go(driver: VolumeDriver, name: str) -> bool:
    """Let go of the shell's mount, and tell whether the volume stays mounted."""
    try:
        mounted = driver.path(name)
    except NotFound:
        driver.unmount(name, SHELL_HOLDER)  # what is left of the mount of a volume that was deleted meanwhile
        raise
    driver.unmount(name, SHELL_HOLDER)
    with contextlib.suppress(NotFound):
        return mounted is not None and driver.path(name) is not None
    return False


def _drain(driver: VolumeDriver, manner: Manner) -> None:
    """Unmount everything that lets go; the name of each volume is printed as it is done, and who stays in the end."""
    if manner.dry_run:
        printer = Printer(volume_columns, quiet=manner.quiet)
        for volume in driver.list():
            if any(item.mount_point for item in volume.attachments):
                printer.add(volume_row(volume))
        printer.finish(failed=False)
        return
    printer = Printer(("name",), line="name", quiet=manner.quiet)
    names = driver.unmount_all()
    try:
        while name := _unmount_next(names):
            printer.add({"name": name})
    except RexrayError:
        printer.finish(failed=True)
        raise
    printer.finish(failed=False)


def _unmount_next(names: Iterator[str]) -> str:
    with progress("unmounting"):
        return next(names, "")
