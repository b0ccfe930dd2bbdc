"""A bar on stderr with rate and verdicts; nothing where nobody looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from dmp_cli.output import Output


class Show(Protocol):
    """Draws how far something is. done: in the units of the total."""

    def __call__(self, done: int, counts: Mapping[str, int], rate: float) -> None: ...


@contextmanager
def drawing(out: Output, title: str, total: int | None) -> Iterator[Show]:
    """Draws while the block runs. total: None if it is not known."""
    if not out.may_draw:
        yield lambda done, counts, rate: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
    if total is not None:
        columns += [BarColumn(), TaskProgressColumn(), TimeRemainingColumn()]
    columns += [TextColumn("{task.fields[figures]}", markup=False)]
    with Progress(*columns, console=out.messages(), transient=True) as progress:
        task = progress.add_task(title, total=total, figures="")

        def show(done: int, counts: Mapping[str, int], rate: float) -> None:
            progress.update(task, completed=done, figures=f"{rate:,.0f}/s  {in_words(counts)}")

        yield show


def in_words(counts: Mapping[str, int]) -> str:
    """Counts by kind, without those that are nothing."""
    return ", ".join(f"{count:,} {_named(kind, count)}" for kind, count in counts.items() if count) or "nothing yet"


def _named(kind: str, count: int) -> str:
    return kind + "s" if kind in ("duplicate", "conflict") and count != 1 else kind
