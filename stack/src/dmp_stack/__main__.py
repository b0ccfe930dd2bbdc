"""`python -m dmp_stack run`: the whole system on this machine until Ctrl-C. `... demo`: a throw-away one at work.
`... audit`: whether a running one counted what it logged. `... backup`: a copy of its databases. `... top`: its numbers
in a terminal. `... keys`: the API keys. `... canary`: events whose way is timed. `... traced`: the gateway's file with
traces."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time

from dmp_chassis.settings import SettingsError
from dmp_stack import backup
from dmp_stack.audit import add_arguments, audit
from dmp_stack.errors import StackError
from dmp_stack.gateway_tracing import traced_file
from dmp_stack.keys import commands as keys
from dmp_stack.settings import CONTEXTS, StackSettings
from dmp_stack.stack import Stack, StackCancelled
from dmp_stack.top import add_arguments as top_arguments

_EXAMPLE = (
    '{"event_type": "page_view", "source": "analytics_script", "timestamp": %d,'
    ' "identifiers": {"email": "a@b.com", "browser_id": "browser_001"}}'
)
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONE_SIGNAL_SECONDS = 1.0


def main() -> int:
    """Returns the exit code: 0 after an orderly end, 1 if the stack cannot start, 2 for settings that are wrong."""
    os.umask(0o077)  # what the stack writes is no other user's business
    parser = argparse.ArgumentParser(prog="python -m dmp_stack")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="run | demo | audit | backup | top | keys | canary | traced"
    )
    commands.add_parser("run", help="start the whole system and keep it running until Ctrl-C")
    commands.add_parser("demo", help="start a throw-away system, send it a few thousand events, show the result")
    address = f"{os.environ.get('DMP_HTTP_HOST') or '127.0.0.1'}:{os.environ.get('DMP_HTTP_PORT') or '8080'}"
    auditing = commands.add_parser("audit", help="ask a running system whether what it counted is what it logged")
    add_arguments(auditing, address=address)
    backup.add_arguments(commands.add_parser("backup", help="copy the databases of a running system, at one moment"))
    watching = commands.add_parser("top", help="show the numbers of a running system in this terminal")
    top_arguments(watching)
    traced = commands.add_parser("traced", help="print the gateway's file for a container, with traces")
    traced.add_argument(
        "collector", help="the base URL of a collector that takes OTLP over HTTP: http://collector:4318"
    )
    traced.add_argument("--percent", type=float, default=1.0, help="of the requests: %(default)s")
    keys.add_arguments(commands.add_parser("keys", help="create, list, revoke and rotate API keys"))
    commands.add_parser("canary", help="send an event to a running system every ten seconds and time its way")
    options = parser.parse_args()
    if options.command == "canary":
        from dmp_stack.canary.run import main as canary

        return canary()
    if options.command == "keys":
        return keys.run(options)
    if options.command == "audit":
        return audit(options)
    if options.command == "backup":
        return backup.run(options)
    if options.command == "top":
        from dmp_stack.top.screen import top  # its drawing is of no use to the others

        return top(options)
    if options.command == "traced":
        return _print_traced(options.collector, options.percent)
    if options.command == "demo":
        from dmp_stack.demo import demo  # its generator is of no use to `run`

        return demo()
    try:
        settings = StackSettings.from_env(os.environ)
    except SettingsError as error:
        print("The settings are not usable:", *error.problems, sep="\n  ", file=sys.stderr)
        return 2
    return run(settings)


def _print_traced(collector: str, percent: float) -> int:
    try:
        print(traced_file(endpoint=collector, percent=percent), end="")
    except StackError as error:
        print(f"dmp: {error}", file=sys.stderr)
        return 1
    return 0


def run(settings: StackSettings) -> int:
    """Runs a stack until a signal ends it; a second one kills what has not ended yet, a third the launcher too."""
    started = time.monotonic()
    stack = Stack(settings, report=_say)
    _cancel_on_signals(stack)
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
            f"ready on {stack.http_url} after {time.monotonic() - started:.1f} s "
            f"(console: {stack.http_url}/console, API: {stack.http_url}/docs, "
            f"logs: {stack.log_directory}, metrics: {_metrics(stack)}, stop: Ctrl-C). Try:\n"
            f"curl {stack.http_url}/events -d '{_EXAMPLE % time.time()}'"
        )
        stack.wait_cancelled()
        _say("stopping")
    finally:
        stack.stop()
    _say("stopped")
    return 0


def _metrics(stack: Stack) -> str:
    """Where the metrics of each service are read."""
    found = {context: url for context in CONTEXTS if (url := stack.metrics_url(context))}
    if stack.settings.canary:
        found["canary"] = stack.canary_metrics_url
    return ", ".join(f"{url} ({context})" for context, url in found.items()) or "off"


def _cancel_on_signals(stack: Stack) -> None:
    """Signals go to a thread of their own: a handler could interrupt the very lock that it then needs."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)

    def listen() -> None:
        acted = -_ONE_SIGNAL_SECONDS
        actions = [lambda: os._exit(1), stack.cancel, stack.cancel]
        while True:
            signal.sigwait(_STOP_SIGNALS)
            # One Ctrl-C may arrive twice, from the terminal and from `make`.
            if time.monotonic() - acted >= _ONE_SIGNAL_SECONDS:
                acted = time.monotonic()
                actions.pop()()

    threading.Thread(target=listen, name="signals", daemon=True).start()


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone; the stack goes on
        print(f"dmp: {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
