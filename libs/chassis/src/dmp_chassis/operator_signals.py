"""What an operator can ask of a running service by a signal.

`SIGUSR1`: the log at debug level for a quarter of an hour, or until the next one. `SIGUSR2`: a report of what the
process is doing, in a file whose name is in the log.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from typing import Final

from dmp_chassis.logging import is_debug, set_debug
from dmp_chassis.self_report import write_report

DEBUG_SECONDS: Final = 900.0
"""Nobody forgets a level that fills the disk."""

_LOG: Final = logging.getLogger(__name__)


def obey_signals(gauges: Callable[[], Mapping[str, float]]) -> None:
    """Obeys from now on, in the running event loop of the main thread. `gauges`: what a report says of queues."""
    loop = asyncio.get_running_loop()
    ending: asyncio.TimerHandle | None = None
    reporting: asyncio.Task[None] | None = None

    def change_level() -> None:
        nonlocal ending
        if ending is not None:
            ending.cancel()
        set_debug(not is_debug())
        ending = loop.call_later(DEBUG_SECONDS, set_debug, False) if is_debug() else None

    def begin_report() -> None:
        nonlocal reporting
        if reporting is None or reporting.done():
            reporting = loop.create_task(_report(gauges()))

    loop.add_signal_handler(signal.SIGUSR1, change_level)
    loop.add_signal_handler(signal.SIGUSR2, begin_report)


async def _report(gauges: Mapping[str, float]) -> None:
    try:
        path = await write_report(gauges)
    except OSError as error:
        _LOG.warning("a report cannot be written", extra={"error": type(error).__name__})
    else:
        _LOG.warning("a report was asked for", extra={"path": str(path)})
