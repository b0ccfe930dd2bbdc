"""What is wrong with a request: collected, raised at once, and said in one sentence."""

from __future__ import annotations

import pytest

from dmp_chassis.violations import InvalidArgument, Violation, Violations, sentence


def test_all_that_is_wrong_is_raised_at_once() -> None:
    violations = Violations()
    violations.check()
    violations.add("campaign_id", "is required")
    violations.add("to", "must not be before from")
    with pytest.raises(InvalidArgument) as raised:
        violations.check()
    assert raised.value.violations == [("campaign_id", "is required"), ("to", "must not be before from")]


@pytest.mark.parametrize(
    ("violations", "said"),
    [
        ([("campaign_id", "is required")], "campaign_id is required"),
        ([("a", "is required"), ("b[0].c", "must be a text")], "a is required; b[0].c must be a text"),
        ([("", "the request has too many bytes")], "the request has too many bytes"),
        ([(f"f{i}", "is empty") for i in range(5)], "f0 is empty; f1 is empty; f2 is empty; f3 is empty; f4 is empty"),
        (
            [(f"f{i}", "is empty") for i in range(7)],
            "f0 is empty; f1 is empty; f2 is empty; f3 is empty; f4 is empty; and 2 more",
        ),
        ([], "the request is invalid"),
    ],
)
def test_the_sentence_begins_with_the_field(violations: list[tuple[str, str]], said: str) -> None:
    assert sentence([Violation(*each) for each in violations]) == said
