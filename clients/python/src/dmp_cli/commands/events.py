"""`dmp event`: what became of one event."""

from __future__ import annotations

from typing import Annotated

import typer

from dmp_cli.moments import written
from dmp_cli.session import Session, command


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""

    @command(app, "event")
    def event(
        session: Session, event_id: Annotated[str, typer.Argument(metavar="EVENT", help="Its event_id.")]
    ) -> None:
        """Says what became of one event: as stored, where it is counted, whose it is."""
        fate = session.client().event(event_id)
        if session.out.json:
            session.out.value(fate)
            return
        stored, counted = fate.event, fate.counted_in
        session.out.line(f"{stored.event_id}: {stored.type} of {stored.source}", style="bold")
        lines = [
            ("occurred", written(stored.occurred_at)),
            ("received", written(stored.received_at)),
            ("campaign", stored.campaign_id),
            ("counted in", counted and f"{counted.campaign_id} {written(counted.minute)} {counted.counts_as}".rstrip()),
            ("person", fate.internal_user_id),
            ("delivered", "yes" if fate.delivered else "not yet"),
        ]
        for name, value in lines:
            if value:
                session.out.line(f"  {name}: {value}")
