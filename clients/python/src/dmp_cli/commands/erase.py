"""`dmp erase`: a person disappears from every store. It asks before it does it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dmp_cli import people
from dmp_cli.failures import CommandError, ExitCode
from dmp_cli.output import Output
from dmp_cli.session import Session, command

if TYPE_CHECKING:
    from dmp_client import DmpClient, answers

_LOOK_AGAIN_SECONDS: Final = 0.5


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""

    @command(app, "erase")
    def erase(
        session: Session,
        person: Annotated[str, typer.Argument(metavar="PERSON", help=people.HELP)],
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        wait: Annotated[
            float, typer.Option(min=0, metavar="SECONDS", help="How long to wait until nothing is left to do.")
        ] = 0.0,
    ) -> int | None:
        """Erases a person for good, from every store. Counts stay."""
        client = session.client()
        preview = _erase(client, person, dry_run=True)
        if dry_run:
            _show(session.out, preview)
            return None
        if not yes:
            _ask(session.out, person, preview)
        receipt = _erase(client, person, dry_run=False)
        ends = time.monotonic() + wait
        while not receipt.complete and time.monotonic() < ends:
            time.sleep(_LOOK_AGAIN_SECONDS)  # between two questions whether it is done
            receipt = client.erasure(receipt.erasure_id)
        _show(session.out, receipt)
        return ExitCode.DONE


def _erase(client: DmpClient, person: str, *, dry_run: bool) -> answers.Erasure:
    identifier = people.split(person)
    if identifier is None:
        return client.erase(person, dry_run=dry_run)
    return client.erase_identifier(*identifier, dry_run=dry_run)


def _ask(out: Output, person: str, preview: answers.Erasure) -> None:
    """Raises CommandError unless somebody types who it is."""
    if not sys.stdin.isatty():
        raise CommandError(
            "nobody is there to confirm it, nothing was erased", hint="Look with --dry-run, then say --yes."
        )
    for line in _lines(preview):
        out.messages().print(line)
    out.messages().print("This cannot be taken back. Type the person as you named them to go on:", end=" ")
    if input().strip() != person:
        raise CommandError("that is not what you named, nothing was erased")


def _show(out: Output, receipt: answers.Erasure) -> None:
    if out.json:
        out.value(receipt)
        return
    for line in _lines(receipt):
        out.line(line)


def _lines(receipt: answers.Erasure) -> list[str]:
    whom = ", ".join(receipt.internal_user_ids) or "nobody with a profile"
    figures = {
        "identifiers": receipt.identifiers,
        "contacts": receipt.contacts,
        "merges": receipt.merges,
        "timeline entries": receipt.timeline_entries,
        "events cleaned": receipt.cleaned_events,
    }
    lines = [
        f"{'would erase' if receipt.dry_run else 'erased'} {whom}",
        "  " + ", ".join(f"{name} {count}" for name, count in figures.items()),
    ]
    if not receipt.dry_run:
        state = "complete" if receipt.complete else "the rest is done in the background"
        lines.append(f"  erasure {receipt.erasure_id}: {state}")
    return lines
