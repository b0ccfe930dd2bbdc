"""A server as in `backends.py` in a process of its own, which can be stopped. Prints its port; ends with its input."""

from __future__ import annotations

import sys

from tests.gateway.backends import Backend

if __name__ == "__main__":
    backend = Backend()
    backend.start()
    print(backend.port, flush=True)
    sys.stdin.read()
    backend.close()
