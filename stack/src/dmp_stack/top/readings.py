"""Reads the metrics of services, and makes rates and quantiles of two readings, as Prometheus does."""

from __future__ import annotations

import contextlib
import http.client
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_SECONDS: Final = 3.0
_MOST_BYTES: Final = 4 << 20

Labels: TypeAlias = Mapping[str, str]
Series: TypeAlias = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The metrics of the replicas of one service at one moment.

    at: by the monotonic clock. replicas: None for one that does not answer.
    """

    at: float
    replicas: Sequence[Series | None]


def read_services(urls: Mapping[str, Sequence[str]]) -> dict[str, Reading]:
    """Reads all replicas of all services at once. Never raises: who does not answer in three seconds is away."""
    flat = [url for of_service in urls.values() for url in of_service]
    with ThreadPoolExecutor(max_workers=max(1, len(flat))) as readers:
        found = iter(list(readers.map(_read, flat)))
    now = time.monotonic()
    return {name: Reading(at=now, replicas=[next(found) for _ in of_service]) for name, of_service in urls.items()}


def _read(url: str) -> Series | None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
    with contextlib.closing(connection):
        try:
            connection.request("GET", parts.path)
            response = connection.getresponse()
            return parsed(response.read(_MOST_BYTES).decode()) if response.status == 200 else None
        except (OSError, ValueError, http.client.HTTPException):
            return None


def parsed(text: str) -> Series:
    """The series of a text in Prometheus' format. Raises ValueError if it is none."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Change:
    """What has become of the metrics of one service from one reading to the next.

    A replica that was away, or has begun anew, counts from 0. Labels choose: those that are not named may be any.
    """

    def __init__(self, before: Reading, now: Reading) -> None:
        self._before = before
        self._now = now
        self.seconds = max(now.at - before.at, 1e-9)

    @property
    def away(self) -> int:
        """How many replicas do not answer."""
        return sum(replica is None for replica in self._now.replicas)

    @property
    def replicas(self) -> int:
        """How many there are."""
        return len(self._now.replicas)

    def values(self, name: str, **labels: str) -> list[float]:
        """The present values of a metric, of all replicas."""
        return [value for replica in self._now.replicas if replica for _, value in _chosen(replica, name, labels)]

    def names_of(self, label: str, name: str) -> list[str]:
        """The values of a label that a metric has now, in order."""
        found = (dict(key[1]).get(label) for each in self._now.replicas if each for key, _ in _chosen(each, name, {}))
        return sorted({value for value in found if value is not None})

    def total(self, name: str, **labels: str) -> float:
        """Their sum; NaN if there are none."""
        values = self.values(name, **labels)
        return sum(values) if values else math.nan

    def most(self, name: str, **labels: str) -> float:
        """The largest of them; NaN if there are none, or one is not known."""
        values = self.values(name, **labels)
        return math.nan if not values or any(map(math.isnan, values)) else max(values)

    def growth(self, name: str, **labels: str) -> float:
        """By how much a counter has grown, of all replicas together."""
        return sum(self._growths(name, labels, by="").values())

    def rate(self, name: str, **labels: str) -> float:
        """The same per second."""
        return self.growth(name, **labels) / self.seconds

    def rates_by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Rates by the values of a label, the largest first."""
        grown = self._growths(name, labels, by=label)
        return dict(sorted(((key, value / self.seconds) for key, value in grown.items()), key=lambda pair: -pair[1]))

    def share(self, name: str, part: Labels) -> float:
        """The share of a counter's growth that has these labels; NaN if it has not grown."""
        grown = self.growth(name)
        return self.growth(name, **part) / grown if grown else math.nan

    def mean(self, name: str, **labels: str) -> float:
        """The mean of what a histogram was given; NaN if that was nothing."""
        count = self.growth(f"{name}_count", **labels)
        return self.growth(f"{name}_sum", **labels) / count if count else math.nan

    def quantile(self, share: float, name: str, **labels: str) -> float:
        """Below it was this share of what a histogram was given: interpolated, as Prometheus does; NaN if nothing was.

        Beyond the last bucket it is that bucket's bound.
        """
        grown = self._growths(f"{name}_bucket", labels, by="le")
        buckets = sorted((float(bound), count) for bound, count in grown.items())
        if not buckets or not buckets[-1][1]:
            return math.nan
        wanted = share * buckets[-1][1]
        lower_bound = lower_count = 0.0
        for bound, count in buckets:
            if count >= wanted:
                if math.isinf(bound) or count == lower_count:
                    return lower_bound
                return lower_bound + (bound - lower_bound) * (wanted - lower_count) / (count - lower_count)
            lower_bound, lower_count = bound, count
        return lower_bound

    def _growths(self, name: str, labels: Labels, *, by: str) -> dict[str, float]:
        grown: defaultdict[str, float] = defaultdict(float)
        for index, now in enumerate(self._now.replicas):
            if now is None:
                continue
            before = self._before.replicas[index] or {}
            for key, value in _chosen(now, name, labels):
                was = before.get(key, 0.0)
                grown[dict(key[1]).get(by, "")] += value - was if value >= was else value
        return dict(grown)


def _chosen(
    series: Series, name: str, labels: Labels
) -> Iterator[tuple[tuple[str, frozenset[tuple[str, str]]], float]]:
    wanted = labels.items()
    for key, value in series.items():
        if key[0] == name and key[1] >= wanted:
            yield key, value
