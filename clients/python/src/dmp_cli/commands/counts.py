"""`dmp stats`, `dmp campaigns`: how many, as a table, as CSV, as a plot."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dmp_cli.failures import CommandError
from dmp_cli.moments import HELP, moment, written
from dmp_cli.output import Output
from dmp_cli.session import Session, command

if TYPE_CHECKING:
    from rich.text import Text

    from dmp_client import answers

_PLOT_ROWS: Final = 60
_From = Annotated[str, typer.Option("--from", metavar="TIME", help=f"The first bucket. {HELP}")]
_To = Annotated[str, typer.Option("--to", metavar="TIME", help="The last bucket, included.")]


class Granularity(StrEnum):
    """The length of a bucket."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


class Grouping(StrEnum):
    """What counts are grouped by."""

    CREATIVE_ID = "creative_id"
    SOURCE = "source"
    TYPE = "type"


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""

    @command(app, "stats")
    def stats(
        session: Session,
        campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="See `dmp campaigns`.")],
        from_: _From = "1h",
        to: _To = "now",
        granularity: Annotated[Granularity, typer.Option("--by", help="The length of a bucket.")] = Granularity.MINUTE,
        group: Annotated[Grouping | None, typer.Option("--group", help="One line for each value of it.")] = None,
        tz: Annotated[str | None, typer.Option(help="The time zone of hours and days, such as Europe/Berlin.")] = None,
        type_: Annotated[list[str] | None, typer.Option("--type", help="Only these types.")] = None,
        source: Annotated[list[str] | None, typer.Option(help="Only these sources.")] = None,
        creative: Annotated[list[str] | None, typer.Option(help="Only these creatives.")] = None,
        fill: Annotated[bool, typer.Option("--fill", help="Also buckets without events.")] = False,
        as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of a table.")] = False,
        plot: Annotated[bool, typer.Option("--plot", help="A plot of events over time.")] = False,
    ) -> None:
        """Counts a campaign's impressions, clicks and events over time, late ones included."""
        if session.out.json + as_csv + plot > 1:
            raise CommandError("--json, --csv and --plot exclude each other", hint="Use one of them.")
        counted = session.client().stats(
            campaign,
            moment(from_, "--from"),
            moment(to, "--to"),
            granularity=granularity.value,
            group_by=group.value if group else None,
            tz=tz,
            types=type_ or (),
            sources=source or (),
            creative_ids=creative or (),
            fill_zero=fill or plot,
        )
        _show_stats(session.out, counted, as_csv=as_csv, plot=plot)

    @command(app, "campaigns")
    def campaigns(session: Session, from_: _From = "24h", to: _To = "now") -> None:
        """Lists the campaigns that counted something, with their totals."""
        found = session.client().campaigns(moment(from_, "--from"), moment(to, "--to"))
        if session.out.json:
            for campaign in found:
                session.out.value(campaign)
            return
        session.out.table(
            ["campaign", "impressions", "clicks", "events", "ctr", "last", ""],
            [
                [
                    each.campaign_id,
                    each.impressions,
                    each.clicks,
                    each.events,
                    f"{each.click_through_rate:.2%}",
                    written(each.last_activity),
                    "unfilled macro" if each.unfilled_macro else "",
                ]
                for each in found
            ],
        )


def _show_stats(out: Output, counted: answers.Stats, *, as_csv: bool, plot: bool) -> None:
    grouped = bool(counted.group_by)
    columns = ["ts", *([counted.group_by] if grouped else []), "impressions", "clicks", "events"]
    rows = [
        [written(point.ts), *([point.group] if grouped else []), point.impressions, point.clicks, point.events]
        for point in counted.series
    ]
    if out.json:
        out.value(counted)
    elif as_csv:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        sys.stdout.write(text.getvalue())
    elif plot:
        for line in bars([(point.ts, point.events) for point in counted.series], out.data().width):
            out.data().print(line)
    else:
        out.table(columns, rows)
        total = [sum(getattr(point, name) for point in counted.series) for name in ("impressions", "clicks", "events")]
        out.status(f"in all: {total[0]} impressions, {total[1]} clicks, {total[2]} events")


def bars(points: Sequence[tuple[datetime, int]], width: int) -> list[Text]:
    """A line for each bucket with a bar as long as its count; many buckets are put together into few."""
    from rich.text import Text

    totals: dict[datetime, int] = {}
    for at, count in points:
        totals[at] = totals.get(at, 0) + count
    buckets = sorted(totals.items())
    together = -(-len(buckets) // _PLOT_ROWS) or 1
    rows = [
        (buckets[first][0], sum(count for _, count in buckets[first : first + together]))
        for first in range(0, len(buckets), together)
    ]
    most = max((count for _, count in rows), default=0)
    digits = len(str(most))
    room = max(width - 24 - digits, 10)
    lines = []
    for at, count in rows:
        eighths = round(count * room * 8 / most) if most else 0
        bar = "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8]).strip()
        lines.append(Text.assemble(f"{written(at)}  {count:>{digits}} ", (bar or ("▏" if count else ""), "cyan")))
    return lines
