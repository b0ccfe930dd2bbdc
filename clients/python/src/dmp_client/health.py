"""Counters that show what became of everything that was tracked, so that no loss is silent."""

from __future__ import annotations

from dataclasses import dataclass

from dmp_client.verdicts import VerdictKind


@dataclass(slots=True)
class Counters:
    """What this process did since the client was made; see `Health`."""

    tracked: int = 0
    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    expired: int = 0
    refused: int = 0
    requests: int = 0
    failures: int = 0
    callback_errors: int = 0
    last_error: str = ""

    def note(self, kind: VerdictKind) -> None:
        """Counts a verdict."""
        if kind is VerdictKind.ACCEPTED:
            self.accepted += 1
        elif kind is VerdictKind.DUPLICATE:
            self.duplicates += 1
        elif kind is VerdictKind.CONFLICT:
            self.conflicts += 1
        elif kind is VerdictKind.REJECTED:
            self.rejected += 1
        else:
            self.expired += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the delivery is doing.

    ok: everything is sent as it comes: no failure since the last answer, and the sender lives.
    sending: the sender lives, or nothing waits for it.
    tracked: events that `track()` took.
    waiting: events in this process's spool without an answer; also those taken over from processes that ended.
    oldest_waiting_seconds: how long the oldest of them has waited.
    accepted, duplicates, conflicts, rejected, expired: verdicts so far.
    refused: calls of `track()` that failed because the spool was full or unusable.
    requests, failures: attempts to send, and those without a usable answer.
    consecutive_failures: since the last answer.
    callback_errors: exceptions of the verdict callback.
    last_error: the last failure in words; it has nothing of any event in it.
    """

    ok: bool = True
    sending: bool = True
    tracked: int = 0
    waiting: int = 0
    oldest_waiting_seconds: float = 0.0
    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    expired: int = 0
    refused: int = 0
    requests: int = 0
    failures: int = 0
    consecutive_failures: int = 0
    callback_errors: int = 0
    last_error: str = ""
