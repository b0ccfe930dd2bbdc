"""`dmp actions`: who decided what about the stored data."""

from __future__ import annotations

import itertools
from typing import Annotated

import typer

from dmp_cli.moments import HELP, moment, written
from dmp_cli.session import Session, command
from dmp_client import answers


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""

    @command(app, "actions")
    def actions(
        session: Session,
        from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help=f"Not before. {HELP}")] = None,
        to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Not after.")] = None,
        kind: Annotated[str | None, typer.Option(help="Only this kind: merge_profiles, erase_person, …")] = None,
        actor: Annotated[str | None, typer.Option(help="Only what the key of this name did.")] = None,
        limit: Annotated[int, typer.Option(min=1, help="How many to list.")] = 50,
    ) -> None:
        """Lists who merged, erased, repaired or replaced what, and why.

        The last one first. Needs a key with the scope admin.
        """
        found = session.client().actions(
            from_=None if from_ is None else moment(from_, "--from"),
            to=None if to is None else moment(to, "--to"),
            kind=kind,
            actor=actor,
        )
        listed = itertools.islice(found, limit)
        if session.out.json:
            for action in listed:
                session.out.value(action)
            return
        session.out.table(
            ["when", "actor", "what", "result", "people", "details", "reason"], [_row(action) for action in listed]
        )


def _row(action: answers.Action) -> list[str]:
    details = [f"{name}={value}" for name, value in (*action.refs.items(), *action.counts.items())]
    return [
        written(action.acted_at),
        action.actor,
        action.kind,
        action.result,
        " ".join(action.internal_user_ids),
        " ".join(details),
        action.reason,
    ]
