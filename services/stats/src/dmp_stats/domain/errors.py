"""What can go wrong with a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True, eq=False)
class MalformedBodyError(Exception):
    """The body is not JSON; `problem` says where."""

    problem: str


@dataclass(slots=True, eq=False)
class TooLargeError(Exception):
    """The request carries more than it may; `unit` is `users` or `bytes`."""

    limit: int
    unit: str


@dataclass(slots=True, eq=False)
class BusyError(Exception):
    """Another large table is being read, or another large answer is being made; `what` names which."""

    what: str


@dataclass(slots=True, eq=False)
class StaleReferenceError(Exception):
    """A reference table with a newer `ts` is in place."""

    current_ts: datetime
    generation: int


@dataclass(slots=True, eq=False)
class CellsChangedError(Exception):
    """The cells to be replaced are not as the caller has seen them."""


@dataclass(slots=True, eq=False)
class UserNotFoundError(Exception):
    """The reference table does not know this user."""

    user_id: str
    generation: int
