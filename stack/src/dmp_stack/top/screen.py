"""Draws the panels in a terminal, again and again, or once for a pipe."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel as Box
from rich.table import Table
from rich.text import Text

from dmp_stack.settings import CONTEXTS
from dmp_stack.top.frame import Panel, Panels, panels
from dmp_stack.top.readings import Change, Reading, read_services

_FEWEST_SECONDS: Final = 0.2
_PIPE_WIDTH: Final = 100
_WIDEST_PANEL: Final = 96


def top(options: argparse.Namespace) -> int:
    """Shows the system until Ctrl-C, or once. Returns the exit code: 0, or 1 if no system is known."""
    try:
        urls = metrics_urls(Path(options.endpoints).read_text())
    except OSError:
        urls = {}
    if not urls:
        print(f"dmp: {options.endpoints} names no metrics; is the system running?", file=sys.stderr)
        return 1
    interval = max(options.interval, _FEWEST_SECONDS)
    try:
        if options.once or not sys.stdout.isatty():
            return _once(urls, interval)
        _for_ever(urls, interval)
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    return 0


def metrics_urls(endpoints: str) -> dict[str, list[str]]:
    """The replicas of each service, by what a stack has written: `DMP_INGEST_METRICS_URL=…`, `DMP_INGEST_2_…`."""
    pairs = [line.partition("=") for line in endpoints.splitlines()]
    found = {
        name: value.strip("'\"") for name, _, value in pairs if name.endswith("_METRICS_URL") and value.strip("'\"")
    }
    urls = {
        context: [url for name, url in found.items() if name.startswith(f"DMP_{context.upper()}_")]
        for context in CONTEXTS
    }
    return {context: of_service for context, of_service in urls.items() if of_service}


def _once(urls: Mapping[str, Sequence[str]], interval: float) -> int:
    before = read_services(urls)
    time.sleep(interval)  # the time over which rates are measured
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    console.print(drawn(_panels(before, read_services(urls)), width=console.width))
    return 0


def _for_ever(urls: Mapping[str, Sequence[str]], interval: float) -> None:
    console = Console(highlight=False)
    # A KeyboardInterrupt may be raised where Python drops it.
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    before = read_services(urls)
    with Live(Text("reading …"), console=console, screen=True, auto_refresh=False) as live:
        while not ended.wait(interval):
            now = read_services(urls)
            live.update(drawn(_panels(before, now), width=console.width), refresh=True)
            before = now


def _panels(before: Mapping[str, Reading], now: Mapping[str, Reading]) -> Panels:
    return panels({name: Change(before[name], reading) for name, reading in now.items()})


def drawn(shown: Panels, *, width: int, clock: Callable[[], str] = lambda: time.strftime("%H:%M:%S")) -> RenderableType:
    """The frame: panels side by side if there is room, else one below the other."""
    head = Text(f"DMP  {clock()}   rates and times since the frame before; red: look at it", style="dim")
    each = min(width, _WIDEST_PANEL) if width < 2 * _WIDEST_PANEL else width // 2 - 1
    return Group(head, Columns([_box(panel, each) for panel in shown], width=each, padding=(0, 0)))


def _box(panel: Panel, width: int) -> Box:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for line in panel.lines:
        table.add_row(line.name, Text(line.text, style="bold red" if line.alarming else ""))
    return Box(table, title=panel.title, title_align="left", width=width)
