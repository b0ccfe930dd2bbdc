"""What becomes of stored identifiers when their values are read by other rules."""

from __future__ import annotations

from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import policy_from_mapping
from dmp_identity.domain.key_rules import StoredRules, key_rules
from dmp_identity.domain.respelling import Joined, StoredIdentifier, new_value, respell, value_of

POLICY = policy_from_mapping(
    {"types": {"email": {"strength": "strong", "normalise": "lower_case", "max_length": 10}}, "placeholder_shapes": []}
)
PARSER = IdentifierParser(POLICY)
PARSER.use(
    key_rules(
        POLICY,
        [
            StoredRules(type="email", number=0, text="trim", in_use=True),
            StoredRules(type="email", number=1, text="trim lower", in_use=True),
        ],
    )
)


def stored(
    value: str, *, shown: str = "", rules: int = 0, at_us: int = 0, ordinal: int = 0, profile: int = 1
) -> StoredIdentifier:
    """An identifier as it is stored."""
    return StoredIdentifier(
        type="email",
        value=value,
        shown=shown or value,
        profile=profile,
        rules=rules,
        first_seen_at_us=at_us,
        ordinal=ordinal,
        cause="event",
        ref="e",
        source="web",
        via=None,
        shared_at_us=None,
    )


def test_a_stored_text_gets_its_value_by_the_rules_of_today() -> None:
    assert new_value(PARSER, "email", " A@X ") == "a@x"
    assert new_value(PARSER, "email", "A@" + "x" * 9) is None
    assert new_value(PARSER, "email", " ") is None
    assert new_value(PARSER, "shoe", "42") is None


def test_an_identifier_of_today_s_rules_keeps_its_value() -> None:
    assert value_of(PARSER, stored("OLD", rules=1)) == "OLD"
    assert value_of(PARSER, stored("OLD", rules=0)) == "old"
    assert value_of(PARSER, stored("old", shown="NEW", rules=0)) == "new"
    # What cannot be read any more stays as it is.
    assert value_of(PARSER, stored("OLD", shown="X" * 11, rules=0)) == "OLD"


def test_what_stays_and_what_moves() -> None:
    stays, moves = stored("a"), stored("B")
    made = respell([stays, moves], lambda one: one.value.lower())
    assert (made.same, made.moved, made.joined) == ([stays], [(moves, "b")], [])


def test_of_several_that_become_one_the_oldest_stays() -> None:
    young, old, middle = stored("a", at_us=9), stored("A", at_us=1), stored("Á", at_us=5)
    made = respell([young, old, middle], lambda one: "a")
    assert made.same == []
    assert made.moved == [(old, "a")]
    assert made.joined == [Joined(gone=middle, kept=old, value="a"), Joined(gone=young, kept=old, value="a")]


def test_of_one_time_the_first_of_the_batch_then_the_older_profile_then_the_smaller_value_stays() -> None:
    order = [
        stored("D", at_us=1, ordinal=1, profile=2),
        stored("C", at_us=1, ordinal=2, profile=1),
        stored("A", at_us=1, ordinal=2, profile=2),
        stored("B", at_us=1, ordinal=2, profile=2),
    ]
    made = respell(reversed(order), lambda one: "x")
    assert [one for one, _ in made.moved] == order[:1]
    assert [joined.gone for joined in made.joined] == order[1:]
