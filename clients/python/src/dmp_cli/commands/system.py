"""`dmp health`, `dmp config`: the system, and how this program reaches it."""

from __future__ import annotations

from typing import Annotated

import typer

from dmp_cli import settings
from dmp_cli.failures import CommandError
from dmp_cli.session import Session, command


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""

    @command(app, "health")
    def health(session: Session) -> None:
        """Says whether the whole system works. Exit code 5 if not."""
        found = session.client().system_health()
        if session.out.json:
            session.out.value(found)
            return
        session.out.line(found.status, style="green")
        for missing in found.degraded:
            session.out.line(f"  degraded: {missing}")

    @command(app, "config")
    def config(
        session: Session,
        name: Annotated[str | None, typer.Argument(metavar="NAME", help=f"One of {', '.join(settings.NAMES)}.")] = None,
        value: Annotated[str | None, typer.Argument(metavar="VALUE", help="Written into the settings' file.")] = None,
        unset: Annotated[bool, typer.Option("--unset", help="Take the setting out of the file.")] = False,
    ) -> None:
        """Shows the settings in force and where each comes from, or writes one into the file."""
        if name is not None and name not in settings.NAMES:
            raise CommandError(f"there is no setting {name!r}", hint=f"There are {', '.join(settings.NAMES)}.")
        path = session.config_file or settings.default_file()
        if name is not None and (unset or value is not None):
            checked = None if value is None or unset else settings.checked(name, value, "command line")
            settings.write_file(path, lambda written: _change(written, name, checked))
            session.out.status(f"{name} {'taken out of' if unset else 'written into'} {path}")
            return
        if unset:
            raise CommandError("--unset needs a name", hint="Such as `dmp config url --unset`.")
        _show(session, [name] if name else list(settings.NAMES))


def _change(written: dict[str, object], name: str, value: str | float | None) -> None:
    if value is None:
        written.pop(name, None)
    else:
        written[name] = value


def _show(session: Session, names: list[str]) -> None:
    shown = {name: _shown(name, getattr(session.settings, name)) for name in names}
    if session.out.json:
        session.out.value(
            {name: {"value": value, "from": session.found.origins[name]} for name, value in shown.items()}
        )
    else:
        rows = [[name, "" if value is None else value, session.found.origins[name]] for name, value in shown.items()]
        session.out.table(["setting", "value", "from"], [[row[0], str(row[1]), row[2]] for row in rows])


def _shown(name: str, value: object) -> object:
    """A key is not shown: terminals are recorded."""
    if name == "api_key" and isinstance(value, str):
        return f"…{value[-4:]}" if len(value) > 12 else "…"
    return value
