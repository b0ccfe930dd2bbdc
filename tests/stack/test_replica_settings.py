"""How many processes each service has: as many as it is told, or as the cores allow."""

from __future__ import annotations

import pytest

from dmp_chassis.settings import SettingsError
from dmp_stack.settings import CONTEXTS, StackSettings, replicas_for


def test_one_of_each_unless_told_otherwise() -> None:
    assert StackSettings.from_env({}).replicas == dict.fromkeys(CONTEXTS, 1)
    told = {"DMP_INGEST_REPLICAS": "3", "DMP_STATS_REPLICAS": "2"}
    assert StackSettings.from_env(told).replicas == {"ingest": 3, "identity": 1, "stats": 2}


def test_auto_is_what_the_cores_allow() -> None:
    assert {cores: [replicas_for(context, cores=cores) for context in CONTEXTS] for cores in (1, 2, 4, 8, 32)} == {
        1: [1, 1, 1],
        2: [1, 1, 1],
        4: [2, 1, 1],
        8: [3, 2, 1],
        32: [12, 8, 2],
    }
    chosen = StackSettings.from_env({f"DMP_{context.upper()}_REPLICAS": "auto" for context in CONTEXTS}).replicas
    assert set(chosen) == set(CONTEXTS)
    assert all(1 <= number <= 16 for number in chosen.values())


@pytest.mark.parametrize("told", ["0", "-1", "17", "1.5", "many", "AUTO", "\u0663", "100000"])
def test_anything_else_is_a_problem_that_names_the_variable(told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        StackSettings.from_env({"DMP_IDENTITY_REPLICAS": told})
    assert raised.value.problems == ["DMP_IDENTITY_REPLICAS must be a whole number from 1 to 16, or auto"]
