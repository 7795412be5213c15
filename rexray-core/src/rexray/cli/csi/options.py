"""The flags that several verbs share, and the parts of a request that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from rexray.cli.csi.capability import CAPABILITY, capability
from rexray.cli.csi.values import key_values, size
from rexray.csi._pb import csi_pb2 as pb

F = TypeVar("F", bound=Callable[..., None])
Decorator = Callable[[F], F]


def ids(name: str, metavar: str) -> Decorator[Any]:
    """One or more exact names or IDs."""
    return click.argument(name, nargs=-1, required=True, metavar=f"{metavar}...")


def pairs(flag: str, help: str) -> Decorator[Any]:
    """A flag of ``key=value`` pairs that may be repeated; the pairs add up."""
    return click.option(
        flag,
        type=key_values,
        metavar="KEY=VALUE,...",
        multiple=True,
        callback=_merge,
        help=help + "; repeatable",
    )


def _merge(_: click.Context, __: click.Parameter, value: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {key: item for part in value for key, item in part.items()}


topology: Decorator[Any] = click.option(
    "--topology",
    "places",
    type=key_values,
    metavar="KEY=VALUE,...",
    multiple=True,
    help="A place for it, such as region=R1,zone=Z1; repeatable, best first",
)
read_only: Decorator[Any] = click.option("--read-only", is_flag=True, help="Without the right to write")


def sizes(function: F) -> F:
    """``--req-bytes`` and ``--lim-bytes``."""
    decorated: F = click.option("--lim-bytes", type=size, metavar="SIZE", help="The most that it may have")(function)
    return click.option(
        "--req-bytes", type=size, metavar="SIZE", help="The least that it must have: bytes, or such as 16GiB"
    )(decorated)


def _cap(*, multiple: bool, more: str = "") -> Decorator[Any]:
    return click.option(
        "--cap",
        type=capability,
        metavar=CAPABILITY,
        multiple=multiple,
        help="How it is to be used, by names or numbers: MULTI_NODE_MULTI_WRITER,mount,xfs,noatime" + more,
    )


capabilities = _cap(multiple=True, more="; repeatable")
one_capability = _cap(multiple=False)


def staging_path(*, required: bool) -> Decorator[Any]:
    """``--staging-target-path``."""
    return _path("--staging-target-path", "Where the volume is staged on this host", required=required)


def _path(flag: str, help: str, *, required: bool) -> Decorator[Any]:
    if required:  # click takes a default, even None, for an answer
        return click.option(flag, metavar="PATH", required=True, callback=_seen_from_here, help=help)
    return click.option(flag, metavar="PATH", default="", callback=_seen_from_here, help=help)


def _seen_from_here(_: click.Context, __: click.Parameter, value: str) -> str:
    return absolute(value)


def absolute(path: str) -> str:
    """A path that the user named, for a plug-in with another working directory."""
    return str(Path.cwd() / path) if path else path


target_path = _path("--target-path", "Where the workload finds the volume", required=True)


def paging(function: F) -> F:
    """The flags of lists."""
    for add in (
        click.option("--paging", is_flag=True, help="Go on to the last page"),
        click.option("--starting-token", default="", help="Start at the page that a token names"),
        click.option("--max-entries", type=click.IntRange(0, 2**31 - 1), default=0, help="The most entries of a page"),
    ):
        function = add(function)
    return function


def capacity_range(req_bytes: int | None, lim_bytes: int | None) -> pb.CapacityRange | None:
    """The wanted size, if one was named."""
    if not req_bytes and not lim_bytes:
        return None
    return pb.CapacityRange(required_bytes=req_bytes or 0, limit_bytes=lim_bytes or 0)


def topologies(places: Sequence[Mapping[str, str]]) -> list[pb.Topology]:
    """The places that were named."""
    return [pb.Topology(segments=place) for place in places]
