"""Events as one request of `POST /events`, and whether there is a thread to send it."""

from __future__ import annotations

import gzip
import logging
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Final

from dmp_client.http import PASSING_STATUSES, Request
from dmp_client.spool import SpooledEvent

_LOGGER: Final = logging.getLogger("dmp_client")
_GZIP_FROM_BYTES: Final = 2048
_LATER: Final = frozenset({401, 402, 403, 404, 405, 407})
"""Statuses that a wrong key or address gives: nothing is wrong with the events, so they are kept."""


def publishing(batch: Sequence[SpooledEvent]) -> Request:
    """The same events make the same bytes."""
    body, encoding = compressed(array([event.body for event in batch]))
    return Request(method="POST", path="/events", body=body, encoding=encoding, prefer="return=minimal")


def array(bodies: Sequence[bytes]) -> bytes:
    """JSON values as one JSON array."""
    return b"[" + b",".join(bodies) + b"]"


def compressed(body: bytes) -> tuple[bytes, str]:
    """A body as it is sent, and its content coding: gzip where that saves something."""
    if len(body) < _GZIP_FROM_BYTES:
        return body, ""
    return gzip.compress(body, compresslevel=1, mtime=0), "gzip"


def refuses_events(status: int) -> bool:
    """True for an answer after which the same request would be refused again, for what it holds."""
    return 400 <= status < 500 and status not in PASSING_STATUSES and status not in _LATER


def check_transport(transport: str) -> None:
    """Raises ValueError if events are sent in no such way, ImportError if what it needs is not installed."""
    if transport not in ("json", "grpc"):
        raise ValueError(f"transport must be json or grpc, not {transport!r}")
    if transport == "grpc" and not all(find_spec(needed) for needed in ("grpc", "dmp")):
        raise ImportError("transport=\"grpc\" needs the extra grpc: pip install 'dmp-client[grpc]' (and dmp-protos)")


def threads_do_not_run() -> bool:
    """True under a uWSGI that was started without threads: they are made there, but never run. And true in its process
    that forks the workers: a thread that runs there while it forks may hang a worker for ever.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    options = getattr(uwsgi, "opt", None)
    if not isinstance(options, dict):
        return False
    if any(options.get(name) or options.get(name.encode()) for name in ("enable-threads", "threads", "gevent")):
        return bool(uwsgi.worker_id() == 0 and uwsgi.mule_id() == 0)
    if not _warned:
        _warned.append(True)
        _LOGGER.warning(
            "uWSGI runs without threads (--enable-threads): events are sent by the requests that track them"
        )
    return True


_warned: Final[list[bool]] = []


def threads_are_greenlets() -> bool:
    """True when gevent has patched threads: a fork copies them, while those of the system stay with the parent."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
