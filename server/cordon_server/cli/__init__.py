"""The command line of the server: `cordon server init|run|check|renew|token` and more."""

from __future__ import annotations

import typer

from cordon_server.cli import serving, site, upkeep

app = typer.Typer(
    name="server",
    help="Run the recognition server.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Example: cordon server run --config site/cordon.toml",
)
for each in (site, serving, upkeep):
    app.add_typer(each.app)
app.add_typer(upkeep.cohort, name="cohort")
