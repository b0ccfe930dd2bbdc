"""`dmp live`: what is going on, once a second."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dmp_cli.failures import CommandError
from dmp_cli.session import Session, command

if TYPE_CHECKING:
    from dmp_client import answers


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""

    @command(app, "live")
    def live(
        session: Session,
        top: Annotated[int, typer.Option(min=1, max=100, help="How many campaigns to name.")] = 15,
        seconds: Annotated[int | None, typer.Option(min=1, help="End after so many seconds.")] = None,
        lines: Annotated[bool, typer.Option("--lines", help="A line a second instead of the full screen.")] = False,
    ) -> None:
        """Watches rates, verdicts and the busiest campaigns.

        Full screen in a terminal, a line a second elsewhere.
        """
        feed = session.client().live(top=top, seconds=seconds)
        if session.out.json:
            for snapshot in feed:
                session.out.value(snapshot)
        elif lines or not sys.stdout.isatty():
            for snapshot in feed:
                session.out.line(as_line(snapshot))
        else:
            try:
                from dmp_cli.live_screen import LiveScreen
            except ImportError:
                raise CommandError("the full screen needs textual", hint="pip install 'dmp-client[cli]'") from None
            LiveScreen(session.settings.url, feed, color=session.out.color).show()


def as_line(snapshot: answers.LiveSnapshot) -> str:
    """A second in one line."""
    rates, verdicts = snapshot.events_per_sec, snapshot.verdicts
    busiest = ", ".join(f"{each.campaign_id} {each.events}" for each in snapshot.top_campaigns[:3])
    return (
        f"{snapshot.ts:%H:%M:%S}  {rates.last_10_seconds:.1f}/s  {snapshot.users} users"
        f"  {verdicts.accepted} accepted, {verdicts.duplicates} duplicates, {verdicts.rejected} rejected"
        f"{'  ' + busiest if busiest else ''}"
    )
