"""The HTTP connections that the threads of one process share when they ask: opened by the first question, and closed
when the client was closed and the last question that is under way has its answer.

A transport that is closed while a thread opens a connection with it would leave that connection open.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dmp_client.errors import ClosedError
from dmp_client.http import Connection, HttpTransport


class SharedTransport:
    """One transport for all threads of this process. After a fork the child makes another one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._transport: HttpTransport | None = None
        self._borrowers = 0
        self._closed = False

    @contextmanager
    def borrowed(self) -> Iterator[HttpTransport]:
        """The transport, open as long as the block runs. Raises ClosedError after `close`."""
        if self._pid != os.getpid():  # a server in C has forked, and has not told Python
            self.after_fork()
        with self._lock:
            if self._closed:
                raise ClosedError("the client is closed")
            if self._transport is None:
                self._transport = HttpTransport(self._connection)
            transport = self._transport
            self._borrowers += 1
        try:
            yield transport
        finally:
            with self._lock:
                if transport is self._transport:  # it is another one after a fork in the block
                    self._borrowers -= 1
                done = self._borrowers == 0 and self._is_closed()
            if done:
                transport.close()

    def close(self) -> None:
        """Lends it to nobody any more, and closes it: now, or when the last borrower has returned it."""
        with self._lock:
            idle = not self._closed and self._borrowers == 0
            self._closed = True
            transport = self._transport
        if idle and transport is not None:
            transport.close()

    def _is_closed(self) -> bool:
        return self._closed

    def after_fork(self) -> None:
        """In the child: the connections and the lock are the parent's, and are left alone."""
        _LEFT_ALONE.append(self._transport)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._transport = None
        self._borrowers = 0


_LEFT_ALONE: Final[list[HttpTransport | None]] = []
