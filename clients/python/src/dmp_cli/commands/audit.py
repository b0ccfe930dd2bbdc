"""`dmp audit`: whether what was counted is what was logged."""

from __future__ import annotations

from typing import Annotated

import typer

from dmp_cli.failures import CommandError, ExitCode
from dmp_cli.moments import HELP, moment, written
from dmp_cli.session import Session, command


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""

    @command(app, "audit")
    def audit(
        session: Session,
        from_: Annotated[str, typer.Option("--from", metavar="TIME", help=f"The first minute. {HELP}")] = "1h",
        to: Annotated[str, typer.Option("--to", metavar="TIME", help="The last minute, included.")] = "now",
        campaign: Annotated[str | None, typer.Option(help="Only this campaign; else all, and timelines.")] = None,
        repair: Annotated[
            bool, typer.Option("--repair", help="Recompute what differs from the log; needs --campaign.")
        ] = False,
    ) -> int:
        """Compares what was counted with what was logged.

        Log, counts and timelines, event by event. Exit code 1 if anything differs.
        """
        if repair and campaign is None:
            raise CommandError("--repair needs --campaign", hint="Audit first, then repair each campaign that differs.")
        client = session.client(timeout_seconds=max(session.settings.timeout_seconds, 120.0))
        begin, end = moment(from_, "--from"), moment(to, "--to")
        if repair and campaign is not None:
            repaired = client.repair(campaign, begin, end)
            session.out.status(f"repaired {len(repaired.minutes)} minutes")
        found = client.audit(begin, end, campaign_id=campaign)
        if session.out.json:
            session.out.value(found)
        else:
            verdict = "clean" if found.clean else "different"
            session.out.line(
                f"{verdict}: {found.events} events in {found.cells} cells, {found.identified_events} of people,"
                f" {found.timeline_entries} timeline entries",
                style="green" if found.clean else "red",
            )
            if found.differences:
                rows = [[written(d.minute), d.campaign_id, d.type, d.logged, d.counted] for d in found.differences]
                session.out.table(["minute", "campaign", "type", "logged", "counted"], rows)
            for minute in found.timeline_differences:
                session.out.line(
                    f"timelines of {written(minute.minute)}: {minute.logged} logged, {minute.entries} entries"
                )
            if found.unsettled:
                session.out.line(f"{found.unsettled} cells could not be compared: events for them keep arriving")
        return ExitCode.DONE if found.clean else ExitCode.PARTLY
