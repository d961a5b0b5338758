"""The command line. Verbs equal to the flow, `--json` everywhere, exit codes 0 done, 1 failed, 2 wrong usage.

`orders`, `watching`, `subscribers` and `operators` speak HTTP to a running service and never open the database; `local`
stands alone. Nothing heavy is imported before the verb that needs it.
"""

from typing import Annotated

import typer

from service import __version__
from service.cli import local, operators, orders, subscribers, watching

app = typer.Typer(
    name="callsheet",
    help="Callsheet: order Seedance videos once, and be told the truth about them.",
    epilog="Speaks to CALLSHEET_PUBLIC_URL, or HOST and PORT, with CALLSHEET_API_KEY. `callsheet VERB --help` has examples.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain text starts 0.2 s sooner and reads the same in a log
    pretty_exceptions_enable=False,  # they would show the values of variables, keys among them
)
for room in (orders, watching, subscribers, operators, local):
    room.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"callsheet {__version__}")
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    pass


def main() -> None:
    app(prog_name="callsheet")
