"""The packaged policy with other limits, or other rules of comparison."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from dmp_identity.domain.identifier_policy import IdentifierPolicy, policy_from_mapping

RULES_BEFORE: Final = {
    "user_id": "trimmed",
    "email": "lower_case",
    "phone": "digits_and_signs",
    "wallet_address": "wallet",
    "browser_id": "trimmed",
    "ip_address": "ip",
}
"""How the packaged policy compared values before keys carried their rules."""


def packaged_policy(*, strong: dict[str, Any] | None = None, weak: dict[str, Any] | None = None) -> IdentifierPolicy:
    """The packaged policy, with these settings in every strong type and in every weak one."""
    mapping = _packaged()
    for kind in mapping["types"].values():
        kind.update((strong if kind["strength"] == "strong" else weak) or {})
    return policy_from_mapping(mapping)


def policy_without_limits() -> IdentifierPolicy:
    """For random graphs, in which people grow large."""
    return packaged_policy(strong={"max_per_profile": 0, "hub_degree": 0})


def policy_with_small_limits() -> IdentifierPolicy:
    """For guards, and for what they leave behind."""
    mapping: dict[str, Any] = tomllib.loads((resources.files("dmp_identity") / "policy.toml").read_text())
    mapping["large_cluster_identifiers"] = 4
    mapping["types"]["email"].update(max_per_profile=3, hub_degree=100)
    mapping["types"]["phone"].update(hub_degree=3)
    mapping["types"]["user_id"].update(max_per_profile=2, period_days=1)
    return policy_from_mapping(mapping)


def policy_with_limits(
    *, per_person: Mapping[str, int], sharing: Mapping[str, int], large_cluster: int
) -> IdentifierPolicy:
    """The packaged policy with these limits by type, and none for types that are not named."""
    mapping = _packaged()
    mapping["large_cluster_identifiers"] = large_cluster
    for name, kind in mapping["types"].items():
        if kind["strength"] == "strong":
            kind.update(max_per_profile=per_person.get(name, 0), hub_degree=sharing.get(name, 0))
    return policy_from_mapping(mapping)


def policy_with_rules(rules: Mapping[str, object]) -> IdentifierPolicy:
    """The packaged policy with other steps of comparison for some types."""
    mapping = _packaged()
    for name, steps in rules.items():
        mapping["types"][name]["normalise"] = steps
    return policy_from_mapping(mapping)


def policy_without_step(name: str, step: str) -> IdentifierPolicy:
    """The packaged policy with one step of one type switched off."""
    steps = _packaged()["types"][name]["normalise"]
    assert step in steps
    return policy_with_rules({name: [one for one in steps if one != step]})


def policy_with_namespaces(namespaces: Mapping[str, object]) -> IdentifierPolicy:
    """The packaged policy in which user ids of some sources are their own."""
    mapping = _packaged()
    mapping["types"]["user_id"]["namespaces"] = dict(namespaces)
    return policy_from_mapping(mapping)


def _packaged() -> dict[str, Any]:
    mapping: dict[str, Any] = tomllib.loads((resources.files("dmp_identity") / "policy.toml").read_text("utf-8"))
    return mapping
