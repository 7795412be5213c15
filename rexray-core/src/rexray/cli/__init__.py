"""The ``rexray`` program."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from rexray.errors import RexrayError


def main(args: Sequence[str] | None = None) -> None:
    """Run the program; an error is one line on standard error, with exit status 2 for words that make no command."""
    from rexray.cli.root import root

    try:
        status = root.main(args, prog_name="rexray", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "rexray"
        message = error.format_message()
        message += "" if message.endswith((".", "?")) else "."
        click.echo(f"error: {message} See '{where} --help'.", err=True)
        status = error.exit_code
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        status = error.exit_code
    except RexrayError as error:
        click.echo(f"error: {error}", err=True)
        status = 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away; the interpreter would complain about stdout at exit
        status = 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        status = 1
    except (click.Abort, KeyboardInterrupt):
        status = 130
    sys.exit(status if isinstance(status, int) else 0)
