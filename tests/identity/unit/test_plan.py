"""Which plans need locks."""

from __future__ import annotations

import pytest

from dmp_identity.domain.parsed_identifier import ParsedIdentifier
from dmp_identity.domain.plan import MergeEdge, NewIdentifier, NewLink, NewMerge, NewProfile, Plan, Refusal
from dmp_identity.domain.refusal_reason import RefusalReason
from tests.identity.graphs import key, observation, small_policy

EVENT = observation("email:ann", small_policy())
(EMAIL,) = EVENT.strong
EDGE = MergeEdge(survivor=1, merged=2, profile_a=1, profile_b=2, key_a=None, key_b=None)
MERGE = NewMerge(cause="event", ref="", source="", edges=(EDGE,))


def link(parsed: ParsedIdentifier) -> NewLink:
    """A link of profile 1."""
    return NewLink(parsed=parsed, profile=1)


@pytest.mark.parametrize(
    ("plan", "structural", "changes_people"),
    [
        (Plan(), False, False),
        (Plan(placements=[1]), False, False),
        (Plan(unchecked_links={(EMAIL.key, 1): link(EMAIL)}), False, False),
        (Plan(links_seen={(EMAIL.key, 1)}), False, False),
        (Plan(pairs={(EMAIL.key, key("phone:1")): EVENT}), False, False),
        (
            Plan(refusals=[Refusal(rule=RefusalReason.LIMIT, key=EMAIL.key, profile=1, other=0, ref="", source="")]),
            False,
            False,
        ),
        (Plan(profiles=[NewProfile(id=-1, created_at_us=0, identified=True)]), True, False),
        (Plan(identifiers=[NewIdentifier(parsed=EMAIL, profile=1, via=None, observation=EVENT)]), True, False),
        (Plan(links=[link(EMAIL)]), True, False),
        (Plan(anonymous={EMAIL.key: 1}), True, False),
        (Plan(shared=[EMAIL.key]), True, False),
        (Plan(merges=[MERGE]), True, False),
        (Plan(merges=[MERGE], absorbed={2: 1}), True, True),
        (Plan(identified={1}), True, True),
    ],
)
def test_a_plan_that_changes_the_graph_needs_locks(plan: Plan, structural: bool, changes_people: bool) -> None:
    assert (plan.structural, plan.changes_people) == (structural, changes_people)
