"""The ``rexray`` program."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

gc.set_threshold(50_000, 20, 100)  # what is imported stays: looking it through again and again is a tenth of the start

import click  # noqa: E402

from rexray.errors import RexrayError  # noqa: E402


def main(args: Sequence[str] | None = None) -> None:
    """Run the program; an error is one line on standard error, with exit status 2 for words that make no command."""
    _fill_standard_streams()
    from rexray.cli.root import root

    try:
        status = root.main(args, prog_name="rexray", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "rexray"
        message = error.format_message()
        message += "" if message.endswith((".", "?")) else "."
        tell(f"{message} See '{where} --help'.")
        status = error.exit_code
    except click.ClickException as error:
        tell(error.format_message())
        status = error.exit_code
    except RexrayError as error:
        tell(message_of(error))
        status = 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away; the interpreter would complain about stdout at exit
        status = 141
    except OSError as error:
        tell(message_of(error))
        status = 1
    except (click.Abort, KeyboardInterrupt):
        status = 130
    sys.exit(status if isinstance(status, int) else 0)


def tell(message: str) -> None:
    """The line that says an error, without the secrets that were met on the way to it."""
    from rexray.redaction import scrub  # where there are any it is imported

    click.echo(f"error: {scrub(message)}", err=True)


def message_of(error: RexrayError | OSError) -> str:
    """The line that says an error; one of the operating system's begins with the file that it is about."""
    if isinstance(error, RexrayError):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _fill_standard_streams() -> None:
    """Open ``/dev/null`` where the caller closed descriptor 0, 1 or 2, lest a pipe or a socket lands there."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest one that is free
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w", closefd=False))
