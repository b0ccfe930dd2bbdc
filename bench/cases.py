"""What is measured: one line of the table is one case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of load. `known_percent` of the events are in the log already, with the same content.

    keys: the gateway asks for API keys. tls: it speaks TLS. mutual: so do the services, and each proves who it is.
    """

    transport: str
    batch: int
    connections: int
    known_percent: int = 0
    keys: bool = False
    tls: bool = False
    mutual: bool = False
    replicas: int = 1

    @property
    def name(self) -> str:
        """`json/1000/c8`, `json/1000/c8/dup50`, `json/1000/c16/keys/tls/mutual`, `json/1000/c16/two`"""
        guards = {"/keys": self.keys, "/tls": self.tls, "/mutual": self.mutual, "/two": self.replicas == 2}
        return self.plain + "".join(name for name, on in guards.items() if on)

    @property
    def plain(self) -> str:
        """The name of the same load without keys and TLS, and with one process of each service: `json/1000/c16`."""
        known = f"/dup{self.known_percent}" if self.known_percent else ""
        return f"{self.transport}/{self.batch}/c{self.connections}{known}"


CASES: tuple[Case, ...] = (
    Case(transport="json", batch=1, connections=1),
    Case(transport="json", batch=1, connections=16),
    Case(transport="json", batch=1, connections=64),
    Case(transport="json", batch=1, connections=64, keys=True),
    Case(transport="json", batch=1, connections=64, keys=True, tls=True),
    Case(transport="json", batch=1, connections=64, keys=True, tls=True, mutual=True),
    Case(transport="json", batch=1, connections=64, replicas=2),
    Case(transport="json", batch=1, connections=256),
    Case(transport="json", batch=1, connections=512),
    Case(transport="json", batch=10, connections=32),
    Case(transport="json", batch=100, connections=16),
    Case(transport="json", batch=500, connections=16),
    Case(transport="json", batch=1000, connections=8),
    Case(transport="json", batch=1000, connections=16),
    Case(transport="json", batch=1000, connections=16, keys=True),
    Case(transport="json", batch=1000, connections=16, keys=True, tls=True),
    Case(transport="json", batch=1000, connections=16, keys=True, tls=True, mutual=True),
    Case(transport="json", batch=1000, connections=16, replicas=2),
    Case(transport="json", batch=1000, connections=8, known_percent=50),
    Case(transport="json", batch=1000, connections=8, known_percent=100),
    Case(transport="grpc", batch=1, connections=1),
    Case(transport="grpc", batch=1, connections=16),
    Case(transport="grpc", batch=1, connections=64),
    Case(transport="grpc", batch=10, connections=32),
    Case(transport="grpc", batch=100, connections=16),
    Case(transport="grpc", batch=1000, connections=8),
    Case(transport="grpc", batch=1000, connections=16),
)
"""The whole matrix."""

STORED_CASES = ("json/1/c64", "json/1000/c8", "json/1000/c8/dup100", "grpc/1000/c8")
"""The cases that are measured again when the log is full."""


def chosen_cases(patterns: Sequence[str]) -> list[Case]:
    """The cases whose name contains one of the patterns, all of them if there is none."""
    return [case for case in CASES if not patterns or any(pattern in case.name for pattern in patterns)]
