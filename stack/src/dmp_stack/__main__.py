"""`python -m dmp_stack run`: the whole system on this machine until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from types import FrameType

from dmp_chassis.settings import SettingsError
from dmp_stack.errors import StackError
from dmp_stack.settings import StackSettings
from dmp_stack.stack import Stack, StackCancelled

_EXAMPLE = (
    '{"event_type": "page_view", "source": "analytics_script", "timestamp": %d,'
    ' "identifiers": {"email": "a@b.com", "browser_id": "browser_001"}}'
)


def main() -> int:
    """Returns the exit code: 0 after an orderly end, 1 if the stack cannot start, 2 for settings that are wrong."""
    parser = argparse.ArgumentParser(prog="python -m dmp_stack")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run")
    commands.add_parser("run", help="start the whole system and keep it running until Ctrl-C")
    parser.parse_args()
    try:
        settings = StackSettings.from_env(os.environ)
    except SettingsError as error:
        print("The settings are not usable:", *error.problems, sep="\n  ", file=sys.stderr)
        return 2
    return run(settings)


def run(settings: StackSettings) -> int:
    """Runs a stack until a signal ends it."""
    started = time.monotonic()
    stack = Stack(settings, report=_say)

    def end(number: int, frame: FrameType | None) -> None:
        stack.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    _say(f"starting; data in {settings.data_directory or 'a temporary directory'}")
    try:
        stack.start()
    except StackCancelled:
        return 0
    except StackError as error:
        print(f"dmp: {error}", file=sys.stderr, flush=True)
        return 1
    try:
        _say(
            f"ready on {stack.http_url} after {time.monotonic() - started:.1f} s (API: {stack.http_url}/docs, "
            f"logs: {stack.log_directory}, stop: Ctrl-C). Try:"
        )
        print(f"curl {stack.http_url}/events -d '{_EXAMPLE % time.time()}'", flush=True)
        stack.wait_cancelled()
        _say("stopping")
    finally:
        stack.stop()
    _say("stopped")
    return 0


def _say(sentence: str) -> None:
    print(f"dmp: {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
