"""The packaged policy with other limits."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

from dmp_identity.domain.identifier_policy import IdentifierPolicy, policy_from_mapping


def packaged_policy(*, strong: dict[str, Any] | None = None, weak: dict[str, Any] | None = None) -> IdentifierPolicy:
    """The packaged policy, with these settings in every strong type and in every weak one."""
    mapping: dict[str, Any] = tomllib.loads((resources.files("dmp_identity") / "policy.toml").read_text())
    for kind in mapping["types"].values():
        kind.update((strong if kind["strength"] == "strong" else weak) or {})
    return policy_from_mapping(mapping)


def policy_without_limits() -> IdentifierPolicy:
    """For random graphs, in which people grow large."""
    return packaged_policy(strong={"max_per_profile": 0, "hub_degree": 0})
