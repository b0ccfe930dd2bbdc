"""Tries a policy on the stored data without changing anything."""

from __future__ import annotations

import asyncio
import tomllib

from dmp_chassis.database import Database, raw
from dmp_identity.adapters.evidence_reads import load_evidence
from dmp_identity.domain.errors import InvalidFieldsError
from dmp_identity.domain.identifier_policy import PolicyError, policy_from_mapping
from dmp_identity.domain.try_policy import Trial, try_policy


async def run_trial(database: Database, policy_toml: bytes) -> Trial:
    """What the policy in the text would change. Raises InvalidFieldsError with the policy's problems."""
    try:
        policy = policy_from_mapping(tomllib.loads(policy_toml.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidFieldsError([("policy", "must be TOML")]) from None
    except PolicyError as error:
        raise InvalidFieldsError([("policy", problem) for problem in error.problems]) from None
    async with database.read() as transaction:
        evidence = await load_evidence(raw(transaction))
    # It takes seconds for a million identifiers: not in the loop that answers everybody else.
    return await asyncio.to_thread(try_policy, policy, evidence)
