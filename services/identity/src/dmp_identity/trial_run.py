"""Tries a policy on the stored data without changing anything, in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE
from typing import Final

import msgspec

from dmp_chassis.errors import DependencyUnavailable
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_identity.domain.errors import TrialLimitError, TrialRunningError
from dmp_identity.domain.policy_text import MAX_BYTES
from dmp_identity.domain.try_policy import Trial
from dmp_identity.trial_process import NoDatabase, Outcome, TrialRequest, Tried, Unusable

_LOG: Final = logging.getLogger(__name__)
_MODULE: Final = "dmp_identity.trial_process"


class PolicyTrials:
    """Tries one policy at a time. A trial may take so much memory and so many seconds, of CPU and by the clock."""

    def __init__(self, database_url: str, *, memory_bytes: int, seconds: float) -> None:
        self._database_url = database_url
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._running = False

    async def run(self, policy_toml: bytes) -> Trial:
        """What the policy in the text would change; ends with the call.

        Raises InvalidArgument with the policy's problems, TrialRunningError, TrialLimitError,
        DependencyUnavailable.
        """
        if len(policy_toml) > MAX_BYTES:
            raise InvalidArgument([Violation("policy", f"must have at most {MAX_BYTES} bytes")])
        if self._running:
            raise TrialRunningError
        self._running = True
        try:
            outcome = await self._outcome(policy_toml)
        finally:
            self._running = False
        match outcome:
            case Tried(trial):
                return trial
            case Unusable(problems):
                raise InvalidArgument([Violation("policy", f"is not usable: {problem}") for problem in problems])
            case NoDatabase():
                raise DependencyUnavailable("postgres")
            case _:
                raise TrialLimitError

    async def _outcome(self, policy_toml: bytes) -> Outcome | None:
        """What the process says; None if it was ended before it said anything."""
        request = TrialRequest(
            policy_toml=policy_toml,
            database_url=self._database_url,
            memory_bytes=self._memory_bytes,
            seconds=self._seconds,
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _MODULE, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
        try:
            async with asyncio.timeout(self._seconds):
                answer, _ = await process.communicate(msgspec.msgpack.encode(request))
        except TimeoutError:
            return None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            _LOG.warning("a trial of a policy was ended", extra={"exit_code": process.returncode})
            return None
        outcome: Outcome = msgspec.msgpack.decode(answer, type=Outcome)
        return outcome
