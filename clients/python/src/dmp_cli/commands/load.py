"""`dmp load`: bounded traffic in a realistic mixture, and how fast it was answered."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from dmp_cli.failures import CommandError, ExitCode
from dmp_cli.mixture import Mixture
from dmp_cli.progress import drawing, in_words
from dmp_cli.session import Session, command
from dmp_client import VerdictKind

if TYPE_CHECKING:
    from dmp_client import DmpClient

_MOST_EVENTS: Final = 1_000_000
_MOST_IN_ONE_REQUEST: Final = 1000
_REQUESTS_A_SECOND: Final = 20


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""

    @command(app, "load")
    def load(
        session: Session,
        rate: Annotated[int, typer.Option(min=1, max=20_000, help="Events a second.")] = 200,
        seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="For how long.")] = 10.0,
        campaigns: Annotated[int, typer.Option(min=1, max=10_000, help="Different campaigns.")] = 6,
        people: Annotated[int, typer.Option(min=1, max=1_000_000, help="Different people.")] = 200,
        seed: Annotated[int | None, typer.Option(help="The same seed makes the same choices.")] = None,
        mark: Annotated[str, typer.Option(help="What campaigns and people begin with.")] = "load",
        not_mine: Annotated[
            bool, typer.Option("--on-another-machine", help="Allow an address that is not this machine.")
        ] = False,
    ) -> int:
        """Sends made-up events at an even rate.

        At most a million. They count as real ones: not for production.
        """
        events = round(rate * seconds)
        if events > _MOST_EVENTS:
            raise CommandError(f"{events:,} events are more than a million", hint="Lower --rate or --seconds.")
        if not not_mine and not is_this_machine(session.settings.url):
            raise CommandError(
                f"{session.settings.url} is another machine", hint="Say --on-another-machine if you may load it."
            )
        chosen = random.SystemRandom().randrange(1 << 32) if seed is None else seed
        mixture = Mixture(mark=mark, campaigns=campaigns, people=people, seed=chosen)
        measured = _Measured(events=events, rate=rate)
        with drawing(session.out, "load", events) as show:
            for sent in measured.send(session.client(), mixture):
                show(sent, measured.counts, sent / max(time.monotonic() - measured.began, 0.001))
        _tell(session, measured)
        return ExitCode.PARTLY if measured.counts[VerdictKind.REJECTED.value] else ExitCode.DONE


@dataclass(slots=True)
class _Measured:
    """A load, and how it was answered. late_seconds: how far the last request was behind its time."""

    events: int
    rate: int
    counts: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    late_seconds: float = 0.0

    def send(self, client: DmpClient, mixture: Mixture) -> Iterator[int]:
        """Sends at the rate; yields how many were sent after each request."""
        size = min(max(self.rate // _REQUESTS_A_SECOND, 1), _MOST_IN_ONE_REQUEST)
        sent = 0
        self.began = time.monotonic()
        while sent < self.events:
            due = self.began + sent / self.rate
            self.late_seconds = max(time.monotonic() - due, 0.0)
            time.sleep(max(due - time.monotonic(), 0.0))  # the rate is what was asked for
            now = datetime.now(UTC)
            bodies = [mixture.event(now) for _ in range(min(size, self.events - sent))]
            asked = time.monotonic()
            verdicts = client.publish(bodies)
            self.waits.append(time.monotonic() - asked)
            self.counts.update(verdict.kind.value for verdict in verdicts)
            sent += len(bodies)
            yield sent

    def wait(self, share: float) -> float:
        """The waiting time that this share of requests did not exceed, in milliseconds."""
        return sorted(self.waits)[min(int(len(self.waits) * share), len(self.waits) - 1)] * 1000


def is_this_machine(url: str) -> bool:
    """Whether an address is one of the loopback interface."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _tell(session: Session, measured: _Measured) -> None:
    seconds = time.monotonic() - measured.began
    total = measured.counts.total()
    figures = {
        "events": total,
        "seconds": round(seconds, 2),
        "events_per_second": round(total / seconds, 1),
        "p50_ms": round(measured.wait(0.5), 2),
        "p99_ms": round(measured.wait(0.99), 2),
        "late_seconds": round(measured.late_seconds, 2),
    }
    if session.out.json:
        session.out.value({**figures, **{kind.value: measured.counts[kind.value] for kind in VerdictKind}})
        return
    session.out.line(f"{total:,} events in {seconds:.1f} s, {total / seconds:,.0f}/s: {in_words(measured.counts)}")
    session.out.line(f"  a request took {figures['p50_ms']} ms, of a hundred one more than {figures['p99_ms']} ms")
    if measured.late_seconds > 1:
        session.out.status(
            f"  it fell behind by {measured.late_seconds:.1f} s: the rate is more than one connection takes"
        )
