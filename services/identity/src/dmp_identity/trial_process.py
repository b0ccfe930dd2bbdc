"""The process in which a policy is tried: `python -m dmp_identity.trial_process`. It reads a request from stdin and
writes an outcome to stdout.

A stranger wrote the policy. Whatever reading it, or following it, costs, it costs this process, which has limits of
memory and time of its own and gives way to the others.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Final, TypeAlias

import msgspec
import psycopg

from dmp_identity.adapters.evidence_reads import load_evidence
from dmp_identity.domain.identifier_policy import PolicyError
from dmp_identity.domain.policy_text import policy_from_toml
from dmp_identity.domain.try_policy import Trial, try_policy

_NICENESS: Final = 10


class TrialRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to try, on which data, and what it may cost."""

    policy_toml: bytes
    database_url: str
    memory_bytes: int
    seconds: float


class Tried(msgspec.Struct, frozen=True, tag=True):
    """The policy was tried."""

    trial: Trial


class Unusable(msgspec.Struct, frozen=True, tag=True):
    """The policy cannot be used; a sentence for each reason."""

    problems: list[str]


class TooCostly(msgspec.Struct, frozen=True, tag=True):
    """The data, or the policy, needs more memory than the process may have, or more time than a statement may take."""


class NoDatabase(msgspec.Struct, frozen=True, tag=True):
    """The database did not answer."""


Outcome: TypeAlias = Tried | Unusable | TooCostly | NoDatabase


def outcome_of(request: TrialRequest) -> Outcome:
    """Reads the policy, then the data, and compares."""
    try:
        policy = policy_from_toml(request.policy_toml)
        evidence = load_evidence(request.database_url, statement_timeout_seconds=request.seconds)
        return Tried(try_policy(policy, evidence))
    except PolicyError as error:
        return Unusable(error.problems)
    except (MemoryError, psycopg.errors.QueryCanceled):
        return TooCostly()
    except psycopg.Error as error:
        # The client's library has no other sign of it.
        return TooCostly() if "memory" in str(error) else NoDatabase()


def main() -> None:
    """Takes the limits upon itself before it reads what the policy says."""
    os.nice(_NICENESS)
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=TrialRequest)
    seconds = max(1, round(request.seconds))
    resource.setrlimit(resource.RLIMIT_AS, (request.memory_bytes, request.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The end on the wall clock too, also when nobody is left to wait for it.
    signal.alarm(seconds + 1)
    sys.stdout.buffer.write(msgspec.msgpack.encode(outcome_of(request)))


if __name__ == "__main__":
    main()
