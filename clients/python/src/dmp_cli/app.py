"""Puts the commands together."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Final

import typer

from dmp_cli.commands import (
    actions,
    audit,
    counts,
    erase,
    events,
    live,
    load,
    merging,
    people,
    reference,
    send,
    system,
    tail,
)
from dmp_cli.session import EVERYWHERE, given_before

_HELP: Final = """Sends events to DMP and asks it about people and campaigns.

Data goes to stdout, progress and status to stderr. --json makes data JSON, before or after the command.
Settings come from flags, from the environment (DMP_URL, DMP_API_KEY, DMP_SOURCE, DMP_TIMEOUT_SECONDS), from a file
(`dmp config`), in this order."""

_EPILOG: Final = (
    "Exit codes: 0 done; 1 done, but something is rejected or differs; 2 wrong usage; 3 not found; 4 refused;"
    " 5 no answer or unhealthy, safe to repeat; 6 the API key is missing or not enough; 130 interrupted."
)


def build() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="dmp",
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_before())
    for group in (send, load, events, people, merging, erase, counts, live, tail, audit, actions, reference, system):
        group.register(app)
    return app


def main() -> None:
    """The program `dmp`."""
    build()(prog_name="dmp")


def _before() -> Any:  # noqa: ANN401 - a function whose signature is made
    def before(context: typer.Context, **values: Any) -> None:  # noqa: ANN401 - parsed options
        context.obj = given_before(values)

    shared = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if name in ("json", "quiet", "no_color") else None,
            annotation=kind,
        )
        for name, kind in EVERYWHERE.items()
    ]
    told = inspect.Parameter(
        "version",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[
            bool, typer.Option("--version", help="Say which version this is.", callback=_say_version, is_eager=True)
        ],
    )
    first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    before.__signature__ = inspect.Signature([first, told, *shared])  # type: ignore[attr-defined]
    before.__annotations__ = {parameter.name: parameter.annotation for parameter in (first, told, *shared)}
    return before


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(version("dmp-client"))
        except PackageNotFoundError:
            typer.echo("unknown")
        raise typer.Exit
