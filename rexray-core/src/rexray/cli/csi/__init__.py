"""``rexray csi``: a client for any CSI v1 endpoint.

The verbs are there twice, as the same commands: flat (``rexray csi new``) and by service
(``rexray csi controller new``).
"""

from __future__ import annotations

import click

from rexray.cli.csi.connection import VerbGroup

_HINTS = {
    "publish": "'att' attaches a volume (controller), 'mnt' mounts it (node)",
    "unpublish": "'det' detaches a volume (controller), 'umount' unmounts it (node)",
}


class _CSI(VerbGroup):
    """The group whose verbs are imported, and gRPC with them, once one is asked for."""

    _loaded = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in the order of a volume's life."""
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of that name or alias."""
        self._load()
        if cmd_name in _HINTS:
            raise click.UsageError(f"{cmd_name!r} could mean two things: {_HINTS[cmd_name]}.", ctx)
        return super().get_command(ctx, cmd_name)

    def _load(self) -> None:
        if self._loaded:
            return
        try:
            from rexray.cli.csi.verbs import arrange
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in ("grpc", "google"):
                raise
            raise click.ClickException("rexray csi needs grpcio: pip install 'rexray-core[csi]'") from None
        arrange(self)
        self._loaded = True


@click.group(cls=_CSI)
def csi() -> None:
    """A client for any CSI v1 endpoint.

    The endpoint is a unix socket (unix:///path, or just its path) or a tcp address (tcp://host:port);
    by default, where this host's daemon serves Docker.
    Secrets are read from $X_CSI_SECRETS (key=value,...) and from nowhere else.

    Without --format, each object is a line of cells separated by tabs, the ID first, quoted only where
    it must be; --format json prints each response in full, on a line of its own.

    The exit status is the gRPC status of the call that failed, and 2 for wrong usage.
    """
