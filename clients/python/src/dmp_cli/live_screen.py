"""The full screen of `dmp live`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.widgets import DataTable, Footer, Sparkline, Static

from dmp_cli.output import printable
from dmp_client import DmpError, answers

_SECONDS_SHOWN: Final = 120


class LiveScreen(App[None]):
    """Rates with their last two minutes, verdicts of the last minute, the busiest campaigns."""

    CSS = """
    #head { height: 1; text-style: bold; }
    #figures { height: 5; }
    #figures Static { border: round $primary; width: 1fr; height: 5; padding: 0 1; }
    Sparkline { height: 3; margin: 0 1; }
    DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar = [("q", "quit", "Quit"), ("p", "pause", "Pause")]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, url: str, feed: Iterator[answers.LiveSnapshot], *, color: bool) -> None:
        super().__init__(ansi_color=not color)
        self._url = url
        self._feed = feed
        self._rates: deque[float] = deque([0.0] * _SECONDS_SHOWN, maxlen=_SECONDS_SHOWN)
        self._paused = False
        self._error: DmpError | None = None

    def show(self) -> None:
        """Takes the screen until it is left. Raises what the feed raised."""
        self.run()
        if self._error is not None:
            raise self._error

    def compose(self) -> ComposeResult:
        yield Static(f"DMP live  {self._url}  waiting for the first second", id="head", markup=False)
        with Horizontal(id="figures"):
            yield Static("", id="rates")
            yield Static("", id="users")
            yield Static("", id="verdicts")
        yield Sparkline(list(self._rates), id="spark")
        table: DataTable[str | Text] = DataTable(id="campaigns", zebra_stripes=True, cursor_type="none")
        yield table
        yield Footer()

    def on_mount(self) -> None:
        """Begins to listen, in a thread: the feed blocks."""
        table = self.query_one(DataTable)
        table.add_columns("campaign", "impressions", "clicks", "events", "ctr")
        self.run_worker(self._listen, thread=True, exclusive=True)

    def action_pause(self) -> None:
        """Holds the picture, or lets it go on."""
        self._paused = not self._paused
        self._say("paused, p goes on" if self._paused else "goes on")

    def _listen(self) -> None:
        try:
            for snapshot in self._feed:
                if not self.is_running:
                    return
                self.call_from_thread(self._take, snapshot)
        except DmpError as error:
            self._error = error
        if self.is_running:
            self.call_from_thread(self.exit)

    def _take(self, snapshot: answers.LiveSnapshot) -> None:
        rates, verdicts = snapshot.events_per_sec, snapshot.verdicts
        self._rates.append(rates.last_10_seconds)
        if self._paused:
            return
        self._say(f"{snapshot.ts:%Y-%m-%d %H:%M:%S} UTC")
        self._write(
            "rates",
            f"events a second\n10 s {rates.last_10_seconds:8.1f}\n 1 m {rates.last_minute:8.1f}"
            f"   5 m {rates.last_5_minutes:8.1f}",
        )
        self._write("users", f"users in a minute\n{snapshot.users}\nreference table {snapshot.generation}")
        self._write(
            "verdicts",
            f"accepted   {verdicts.accepted:8}\nduplicates {verdicts.duplicates:8}\nrejected   {verdicts.rejected:8}",
        )
        self.query_one(Sparkline).data = list(self._rates)
        table = self.query_one(DataTable)
        table.clear()
        for each in snapshot.top_campaigns:
            table.add_row(
                Text(printable(each.campaign_id)),
                str(each.impressions),
                str(each.clicks),
                str(each.events),
                f"{each.click_through_rate:.2%}",
            )

    def _say(self, text: str) -> None:
        self._write("head", f"DMP live  {self._url}  {text}")

    def _write(self, name: str, text: str) -> None:
        self.query_one(f"#{name}", Static).update(text)
