"""Counts and measures what one server does, for Prometheus.

A metric is declared once, as a value, in a `metrics.py`; each running server has a `Metrics` of its own that counts it,
so that several servers of one process do not add up. `docs/metrics.md` is made from the declarations.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

_LOG: Final = logging.getLogger(__name__)
OTHER: Final = "other"
"""What stands in the place of a label's value that was not declared: no caller can make up a series."""
FAST_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of what should take milliseconds."""
SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
"""Buckets of how many things there are in something."""
ASKED_EVERY_SECONDS: Final = 5.0
"""A question to a database is asked at most so often, however often the metrics are read."""
_ANSWER_SECONDS: Final = 2.0
_FIRST_CALL: Final = -math.inf

Labels: TypeAlias = Mapping[str, Sequence[str] | None]
"""For each label the values that it may have; None for values that only the code chooses, such as names of RPCs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """One metric, by the rules of Prometheus: base units, `_total` for counters."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    """`seconds`, or what is counted."""
    help: str
    """What it means, in one sentence."""
    labels: Labels = field(default_factory=dict)
    buckets: Sequence[float] = ()
    """Of a histogram: the upper bounds."""


def counter(name: str, help: str, *, unit: str, labels: Labels | None = None) -> Metric:
    """What only grows. `name` ends with `_total`."""
    return Metric(name=name, kind="counter", unit=unit, help=help, labels=labels or {})


def gauge(name: str, help: str, *, unit: str, labels: Labels | None = None) -> Metric:
    """What goes up and down."""
    return Metric(name=name, kind="gauge", unit=unit, help=help, labels=labels or {})


def histogram(
    name: str,
    help: str,
    *,
    unit: str,
    labels: Labels | None = None,
    buckets: Sequence[float] = FAST_SECONDS,
) -> Metric:
    """How often something was how large."""
    return Metric(name=name, kind="histogram", unit=unit, help=help, labels=labels or {}, buckets=buckets)


QUESTIONS_FAILED: Final = counter(
    "dmp_metrics_questions_failed_total",
    "Questions to the database for a metric that were not answered in time. The metrics that they fill are NaN then.",
    unit="questions",
)
OF_METRICS: Final = (QUESTIONS_FAILED,)

Answer: TypeAlias = Mapping[tuple[Metric, *tuple[str, ...]], float]
"""Values of gauges: by the metric and its labels' values."""


@dataclass(slots=True)
class _Question:
    ask: Callable[[], Awaitable[Answer]]
    asked_at: float = _FIRST_CALL
    answered: Answer = field(default_factory=dict)


class Metrics:
    """The metrics of one server. All methods belong to its event loop; one call costs about a microsecond.

    Count once for a group or a request, not for each event. Labels are given by position, in the declared order.
    """

    def __init__(self, declared: Sequence[Metric] = ()) -> None:
        """A metric that is not declared here appears when it is first used."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._made: dict[Metric, Any] = {}
        self._children: dict[tuple[Metric, *tuple[str, ...]], Any] = {}
        self._watched: list[tuple[Any, Callable[[], float]]] = []
        self._questions: list[_Question] = []
        self._reading = asyncio.Lock()
        self.declare(*OF_METRICS, *declared)

    def declare(self, *metrics: Metric) -> None:
        """Shows these metrics from now on, each series that can be told in advance with 0."""
        for metric in metrics:
            known = [values for values in metric.labels.values() if values is not None]
            if len(known) == len(metric.labels):
                for values in itertools.product(*known):
                    self._child((metric, *values))
            else:
                self._make(metric)

    def add(self, metric: Metric, amount: float, *labels: str) -> None:
        """Adds to a counter."""
        (self._children.get((metric, *labels)) or self._child((metric, *labels))).inc(amount)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Adds a value to a histogram."""
        (self._children.get((metric, *labels)) or self._child((metric, *labels))).observe(value)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Sets a gauge."""
        self._child((metric, *labels)).set(value)

    def watch(self, metric: Metric, read: Callable[[], float], *labels: str) -> None:
        """A gauge that is read whenever the metrics are. `read` is cheap and never raises."""
        self._watched.append((self._child((metric, *labels)), read))

    def watched(self) -> dict[str, float]:
        """What `watch` reads, now: by the name of the metric and the values of its labels."""
        names = {id(child): " ".join((series[0].name, *series[1:])) for series, child in self._children.items()}
        return {names[id(child)]: read() for child, read in self._watched}

    def ask(self, question: Callable[[], Awaitable[Answer]]) -> None:
        """Gauges that only a database knows: asked when the metrics are read, at most every `ASKED_EVERY_SECONDS`.

        Without an answer within two seconds they are NaN: nobody takes an old figure for a new one.
        """
        self._questions.append(_Question(question))

    async def text(self) -> bytes:
        """All metrics in Prometheus' text format. Others get their turn in between."""
        async with self._reading:
            await asyncio.gather(*map(self._ask, self._questions))
            for child, read in self._watched:
                child.set(read())
            parts = []
            for made in tuple(self._made.values()):
                parts.append(generate_latest(made))
                await asyncio.sleep(0)
        return b"".join(parts)

    async def _ask(self, question: _Question) -> None:
        if time.monotonic() - question.asked_at < ASKED_EVERY_SECONDS:
            return
        question.asked_at = time.monotonic()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                question.answered = await question.ask()
        except Exception as error:  # noqa: BLE001 -- whoever reads the metrics is told by NaN, and by a counter
            _LOG.debug("a question for the metrics was not answered", extra={"error": type(error).__name__})
            self.add(QUESTIONS_FAILED, 1)
            question.answered = dict.fromkeys(question.answered, math.nan)
        for series, value in question.answered.items():
            self._child(series).set(value)

    def _child(self, series: tuple[Metric, *tuple[str, ...]]) -> Any:  # noqa: ANN401 -- of three kinds
        child = self._children.get(series)
        if child is not None:
            return child
        metric, *given = series
        values = tuple(
            value if allowed is None or value in allowed else OTHER
            for value, allowed in zip(given, metric.labels.values(), strict=True)
        )
        made = self._make(metric)
        # Under the values that it has, not under those that were given: these may be any number.
        return self._children.setdefault((metric, *values), made.labels(*values) if values else made)

    def _make(self, metric: Metric) -> Any:  # noqa: ANN401 -- of three kinds
        made = self._made.get(metric)
        if made is None:
            labels = tuple(metric.labels)
            if metric.kind == "histogram":
                made = Histogram(metric.name, metric.help, labels, buckets=metric.buckets, registry=self._registry)
            else:
                kind = Counter if metric.kind == "counter" else Gauge
                made = kind(metric.name, metric.help, labels, registry=self._registry)
            self._made[metric] = made
        return made


@contextlib.contextmanager
def timing(metrics: Metrics, duration: Metric) -> Iterator[None]:
    """Measures a block with a histogram whose one label says "applied" or "failed"."""
    began, outcome = time.monotonic(), "failed"
    try:
        yield
        outcome = "applied"
    finally:
        metrics.observe(duration, time.monotonic() - began, outcome)
