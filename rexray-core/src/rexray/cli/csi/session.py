"""One run of a verb: its calls, its output, its failure."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Concatenate, NoReturn, ParamSpec, Self

import click
import grpc

from rexray.cli.app import App
from rexray.cli.base import app_of
from rexray.cli.csi.connection import Connection, connection_of
from rexray.cli.csi.values import read_secrets
from rexray.cli.csi.views import View, text_line
from rexray.cli.output import Row, apply_template, cell, check_template, dump, table
from rexray.csi.client import CSIClient, ListRequest, ListResponse, pages
from rexray.csi.rpc import Call, Rep, Req
from rexray.csi.status import status_of
from rexray.errors import InvalidRequest, RexrayError, SettingsError
from rexray.settings import Secret

P = ParamSpec("P")

_SHORT = 6


class Session:
    """What a verb has at hand: a connection to make calls over, and a printer for what they return."""

    def __init__(self, connection: Connection, secrets: Mapping[str, Secret], app: App, view: View) -> None:
        self._connection = connection
        self._secrets = secrets
        self._format = app.format or ("template" if app.template else "text")
        self._template = app.template
        self._view = view
        self._table: list[Row] | None = None
        if self._format == "template":
            check_template(app.template, view.columns)  # before anything is changed
        self._client = CSIClient(connection.endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        if self._table is not None:
            for line in table(self._table, self._view.columns):
                click.echo(line)

    def call(self, call: Call[Req, Rep], request: Req) -> Rep:
        """Make a call, with the user's secrets if it takes any."""
        to = self._connection
        return self._client.call(call, self._sealed(request), timeout=to.timeout, metadata=to.metadata)

    def stream(self, call: Call[Req, Rep], request: Req) -> Iterator[Rep]:
        """Make a call that streams."""
        to = self._connection
        return self._client.stream(call, self._sealed(request), timeout=to.timeout, metadata=to.metadata)

    def pages(self, call: Call[ListRequest, ListResponse], request: ListRequest) -> Iterator[ListResponse]:
        """Make a list call for each of its pages."""
        to = self._connection
        return pages(self._client, call, self._sealed(request), timeout=to.timeout, metadata=to.metadata)

    def show(self, document: Mapping[str, object], rows: Sequence[Row]) -> None:
        """Print a response: ``document`` is all of it, ``rows`` what a person looks for."""
        match self._format:
            case "json" | "jsonp":
                click.echo(dump(document, self._format))
            case "yaml":
                click.echo(dump([document], "yaml"))
            case "table":
                self._table = [*(self._table or ()), *rows]
            case "template":
                for row in rows:
                    click.echo(apply_template(self._template, row, self._view.columns))
            case _:
                for row in rows:
                    click.echo(text_line(row, self._view))

    def show_token(self, token: str) -> None:
        """Tell where the next page of a list starts; JSON and YAML have it in the response."""
        if token and self._format in ("text", "table", "template"):
            click.echo(f"token={cell(token)}", err=self._format != "text")

    def hide(self, text: str) -> str:
        """A text of the plug-in's without the secrets that it was told."""
        values = {secret.reveal() for secret in self._secrets.values()} - {""}
        for value in sorted(values, key=len, reverse=True):
            edge = r"\b" if len(value) < _SHORT and value.isalnum() else ""  # do not make holes in other words
            text = re.sub(f"{edge}{re.escape(value)}{edge}", "***", text)
        return text

    def _sealed(self, request: Req) -> Req:
        if self._secrets and "secrets" in request.DESCRIPTOR.fields_by_name:
            values = {key: secret.reveal() for key, secret in self._secrets.items()}
            request.MergeFrom(type(request)(secrets=values))
        return request


def verb(view: View) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[P, None]]:
    """Give a verb whose rows are of that view its session; an error becomes a line and an exit status."""

    def decorate(function: Callable[Concatenate[Session, P], None]) -> Callable[P, None]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            ctx = click.get_current_context()
            try:
                session = Session(connection_of(ctx), read_secrets(os.environ), app_of(ctx), view)
            except SettingsError:
                raise
            except InvalidRequest as error:
                raise click.UsageError(str(error), ctx) from None
            try:
                with session:
                    function(session, *args, **kwargs)
            except RexrayError as error:
                _fail(ctx, session, error)

        return run

    return decorate


def _fail(ctx: click.Context, session: Session, error: RexrayError) -> NoReturn:
    """End the run with the status of the call that failed."""
    code = code_of(error)
    if code is None:
        raise click.UsageError(str(error), ctx) from None
    sys.stdout.flush()
    name = code.name.title().replace("_", "")
    click.echo(cell(session.hide(f"error: {name}: {error}")), err=True)
    raise click.exceptions.Exit(code.value[0]) from None


def code_of(error: RexrayError) -> grpc.StatusCode | None:
    """The gRPC status of a failed call, or nothing where the request was wrong before there was a call."""
    if isinstance(error.__cause__, grpc.RpcError):
        code: grpc.StatusCode = error.__cause__.code()
        return code
    return None if isinstance(error, InvalidRequest) else status_of(error)
