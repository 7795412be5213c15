"""``rexray volume create``, ``expand`` and ``rm``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from rexray.cli.base import Command, current_app
from rexray.cli.chosen import volume_driver
from rexray.cli.rows import Row, volume_columns, volume_row
from rexray.cli.targets import Target, Verb, volume_targets
from rexray.cli.verbs import F, Manner, manner, runasync
from rexray.drivers import VolumeDriver
from rexray.errors import InvalidRequest, NotFound
from rexray.mixins import Expand
from rexray.names import check_volume_name
from rexray.sizes import parse_size
from rexray.types import SHELL_HOLDER, MountRequest, Volume, VolumeId

_OPTIONS = {
    "--size": "The size: GiB, or with a unit such as 512MiB.",
    "--volumeType": "The platform's type of volume.",
    "--iops": "I/O operations a second.",
    "--availabilityZone": "The zone to make it in.",
    "--fsType": "The filesystem that is made on it.",
    "--encryptionKey": "The platform's name of the key that it is encrypted with.",
    "--volumeid": "The id of the volume that it is a clone of.",
    "--snapshotid": "The id of the snapshot that it is made from.",
    "--snapshotname": "The same by the snapshot's name.",
}
"""The flags that stand for a driver's option of the same name in lower case."""

_FLAGS = {
    "--encrypted": "Encrypt its data.",
    "--overwriteFS": "Make a filesystem even if it comes with one.",
}


def _driver_options(function: F) -> F:
    """Flags for the options of the driver's that have long had one."""
    for name, text in reversed(_FLAGS.items()):
        function = click.option(name, is_flag=True, help=text)(function)
    for name, text in reversed(_OPTIONS.items()):
        function = click.option(name, help=text)(function)
    return function


@click.command("create", cls=Command)
@click.argument("names", nargs=-1, metavar="[VOLUME]...")
@click.option("--volumename", metavar="NAME", help="The name of a volume to make.")
@_driver_options
@click.option("-o", "--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the driver's.")
@click.option("--attach", is_flag=True, help="Attach it to this host afterwards.")
@click.option("--amount", is_flag=True, help="Attach and mount it afterwards.")
@click.option("--force", is_flag=True, help="With --attach or --amount: take it from the instance that has it.")
@runasync
@manner
def create(
    names: tuple[str, ...],
    volumename: str | None,
    options: tuple[str, ...],
    attach: bool,
    amount: bool,
    force: bool,
    manner: Manner,
    **flags: Any,
) -> None:
    """Create volumes; one that exists as asked is success."""
    words = (*names, *([volumename] if volumename else []))
    if not words:
        raise click.UsageError("say what the volume shall be called: a name or --volumename")
    if force and not (attach or amount):
        raise click.UsageError("--force needs --attach or --amount: creating takes nothing from anybody")
    wanted = _wanted(options, flags)
    driver = volume_driver(current_app())
    afterwards = _afterwards(driver, attach=attach, amount=amount, force=force)

    def act(name: str) -> Row:
        made = driver.create(name, wanted)
        return volume_row(driver.get(name) if afterwards(name) else made)

    Verb(
        driver=driver,
        manner=manner,
        doing="creating",
        columns=lambda rows: volume_columns(rows, path=amount),
        dry=lambda name: _would_be(driver, name, wanted),
        checked=False,
    ).run([Target(word) for word in dict.fromkeys(words)], act)


def _wanted(options: tuple[str, ...], flags: Mapping[str, Any]) -> dict[str, str]:
    """The driver's options: those of ``-o``, and the flags that stand for one."""
    given = [(key, "true" if value is True else str(value)) for key, value in flags.items() if value]
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise InvalidRequest(f"--option {option!r} is not KEY=VALUE")
        given.append((key.lower() if key.lower() in flags else key, value))
    wanted: dict[str, str] = {}
    for key, value in given:
        if wanted.setdefault(key, value) != value:
            raise InvalidRequest(f"option {key!r} is given twice, as {wanted[key]!r} and {value!r}")
    return wanted


def _afterwards(driver: VolumeDriver, *, attach: bool, amount: bool, force: bool) -> Callable[[str], bool]:
    """What is done to a volume once it is made; it tells whether that was anything."""

    def work(name: str) -> bool:
        if amount:
            driver.mount(MountRequest(name=name, holder=SHELL_HOLDER, preempt=force))
        elif attach:
            driver.attach(name, driver.instance_id(), force=force)
        return amount or attach

    return work


def _would_be(driver: VolumeDriver, name: str, wanted: Mapping[str, str]) -> Row:
    """The volume, as it is or as it would be made; one that is not there has no id."""
    size = parse_size(wanted["size"]) if "size" in wanted else 0
    try:
        return volume_row(driver.get(check_volume_name(name)))
    except NotFound:
        encrypted = wanted.get("encrypted", "").lower() in ("true", "1", "yes")
        new = Volume(
            id=VolumeId(""), name=name, size_bytes=size, encrypted=encrypted, type=wanted.get("volumetype", "")
        )
        return {**volume_row(new), "status": ""}


@click.command("expand", cls=Command)
@volume_targets()
@click.option("--size", required=True, help="The size that it shall have at least: GiB, or with a unit such as 512MiB.")
@manner
def expand(targets: tuple[Target, ...], size: str, manner: Manner) -> None:
    """Grow volumes, mounted ones with their filesystem; one as large is success."""
    size_bytes = parse_size(size)
    driver = volume_driver(current_app())
    grower = driver.capability(Expand)
    verb = Verb(driver=driver, manner=manner, doing="expanding", columns=volume_columns)
    verb.run(targets, lambda name: volume_row(grower.expand(driver.volume_id(name), size_bytes)))


@click.command("rm", cls=Command)
@volume_targets()
@click.option("--force", is_flag=True, help="Delete what the platform deletes only when forced.")
@manner
def remove(targets: tuple[Target, ...], force: bool, manner: Manner) -> None:
    """Delete volumes and their data; print the name or id of each."""
    driver = volume_driver(current_app())

    def act(name: str) -> Row:
        driver.remove(name, force=force)
        return {"name": name}

    Verb(driver=driver, manner=manner, doing="deleting", columns=("name",), line="name").run(targets, act)
