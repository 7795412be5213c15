"""Where generated files go: to standard output, or into a folder that keeps what somebody changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from rexray_server.hosts.files import HostFile, place

AS_IS = "# Made by 'rexray deploy': make it anew rather than edit it, or take it over as your own.\n"


def deliver(files: Mapping[str, str], directory: Path | None, *, force: bool) -> None:
    """Print the files, or write each into the directory and say so."""
    if directory is None:
        click.echo("\n".join(AS_IS + text for text in files.values()), nl=False)
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        for line in place(HostFile(path=Path("/", name), text=AS_IS + text), directory, force=force):
            click.echo(line)


def yaml_of(objects: Iterable[Mapping[str, Any]]) -> str:
    """Objects as one YAML stream, in the order of their fields."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True  # no anchors: people read it

    text: str = yaml.dump_all(objects, Dumper=Dumper, sort_keys=False, explicit_start=True, width=120)
    return text
