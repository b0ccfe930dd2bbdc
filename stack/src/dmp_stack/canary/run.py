"""Sends canary events until it is stopped, and shows their journeys as metrics."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from typing import Final

from dmp_chassis.metrics import Metrics
from dmp_chassis.metrics_endpoint import MetricsEndpoint
from dmp_chassis.settings import SettingsError
from dmp_stack.canary.journey import next_canary, travel
from dmp_stack.canary.metrics import FAILURES, JOURNEYS, LAST_SEEN, OF_CANARY, SEEN, STATIONS
from dmp_stack.canary.settings import CanarySettings, read_settings

_FRESH_SECONDS: Final = 5.0


def main() -> int:
    """Runs until it is killed, which loses nothing. Returns the exit code: 2 for settings that are wrong."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        print("canary: the settings cannot be used:", *error.problems, sep="\n  ", file=sys.stderr)
        return 2
    try:
        asyncio.run(run(settings))
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        print(f"canary: its metrics cannot be shown at {settings.metrics_listen}: {error.strerror}", file=sys.stderr)
    return 1


async def run(settings: CanarySettings) -> None:
    """Sends events until cancelled. Raises OSError if the metrics cannot be shown."""
    metrics = Metrics(OF_CANARY)
    for station in STATIONS:
        metrics.set(LAST_SEEN, time.time(), station)
    await MetricsEndpoint(metrics).listen(settings.metrics_listen)
    while True:
        began = time.monotonic()
        canary = next_canary(time.time(), window_seconds=settings.window_seconds)
        note(await asyncio.to_thread(travel, canary, settings), metrics)
        await asyncio.sleep(max(0.0, settings.every_seconds - (time.monotonic() - began)))


def note(seen: Mapping[str, float], metrics: Metrics) -> None:
    """Counts one journey: after how many seconds the event was seen at which station."""
    for station in STATIONS:
        if station in seen:
            metrics.observe(SEEN, seen[station], station)
            metrics.set(LAST_SEEN, time.time(), station)
        else:
            metrics.add(FAILURES, 1, station)
    late = any(seconds > _FRESH_SECONDS for seconds in seen.values())
    metrics.add(JOURNEYS, 1, "lost" if len(seen) < len(STATIONS) else "late" if late else "fresh")
