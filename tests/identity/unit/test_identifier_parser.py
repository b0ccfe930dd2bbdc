"""What the policy makes of a text: its key, what is shown, and why it is set aside."""

from __future__ import annotations

from typing import Any

import pytest

from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import policy_from_mapping
from dmp_identity.domain.key_rules import KeyRules
from dmp_identity.domain.normalisation import Normalisation
from dmp_identity.domain.parsed_identifier import ParsedIdentifier
from dmp_identity.domain.refusal_reason import PLACEHOLDERS, RefusalReason

TYPES: dict[str, dict[str, Any]] = {
    "email": {"strength": "strong", "normalise": "lower_case", "max_length": 12, "show_as_seen": True},
    "user_id": {"strength": "strong", "namespaces": {"shop": "s", "web": "w"}, "refuse_rounded": True},
    "phone": {"strength": "strong", "normalise": ["trim", "separators"]},
    "ip_address": {"strength": "weak"},
    "browser_id": {"strength": "weak", "attribute": True},
}
POLICY = policy_from_mapping({"types": TYPES})


@pytest.fixture
def parser() -> IdentifierParser:
    """One that has parsed nothing yet."""
    return IdentifierParser(POLICY)


def parse(parser: IdentifierParser, kind: str, text: str) -> ParsedIdentifier:
    """The identifier of a text that has one."""
    found = parser.parse(kind, text)
    assert found is not None
    return found


def test_a_strong_value_proves_and_is_compared_by_its_key(parser: IdentifierParser) -> None:
    parsed = parse(parser, "email", "  Ann@X.com ")
    assert (parsed.key, parsed.shown) == (("email", "ann@x.com"), "Ann@X.com")
    assert (parsed.proves, parsed.attributes, parsed.refusal_reason) == (True, False, None)
    assert parsed.type is POLICY.types["email"]
    assert (parsed.rules, parsed.former, parsed.all_keys()) == (0, (), [("email", "ann@x.com")])


def test_a_type_may_show_the_value_as_it_is_compared(parser: IdentifierParser) -> None:
    assert parse(parser, "phone", "1 2-3").shown == "123"


@pytest.mark.parametrize(("kind", "attributes"), [("ip_address", False), ("browser_id", True)])
def test_a_weak_value_proves_nothing(parser: IdentifierParser, kind: str, attributes: bool) -> None:
    parsed = parse(parser, kind, "10.0.0.1")
    assert (parsed.proves, parsed.attributes) == (False, attributes)


@pytest.mark.parametrize("kind", ["email", "shoe"])
@pytest.mark.parametrize("text", ["", "  ", "\t\n"])
def test_an_empty_text_has_no_identifier(parser: IdentifierParser, kind: str, text: str) -> None:
    assert parser.parse(kind, text) is None


def test_a_value_of_an_unknown_type_is_set_aside(parser: IdentifierParser) -> None:
    parsed = parse(parser, "shoe", " 42 ")
    assert (parsed.key, parsed.shown, parsed.type) == (("shoe", "42"), "42", None)
    assert (parsed.refusal_reason, parsed.proves) == (RefusalReason.UNKNOWN_TYPE, False)


def test_a_value_is_as_long_as_its_key(parser: IdentifierParser) -> None:
    assert parse(parser, "email", "a@" + "x" * 10).refusal_reason is None
    parsed = parse(parser, "email", "A@" + "x" * 11)
    assert parsed.refusal_reason is RefusalReason.TOO_LONG
    assert parsed.key == ("email", "A@" + "x" * 11)
    assert not parsed.proves


@pytest.mark.parametrize("kind", ["email", "shoe"])
def test_the_key_of_a_long_value_that_is_set_aside_is_a_digest(parser: IdentifierParser, kind: str) -> None:
    short, long = "x" * (128 - len(kind)), "x" * (129 - len(kind))
    assert parse(parser, kind, short).key == (kind, short)
    parsed = parse(parser, kind, long + "y" * 100)
    assert parsed.key[1].startswith("sha256:")
    assert len(parsed.key[1]) == len("sha256:") + 64
    assert parsed.shown == (long + "y" * 100)[:128]
    assert parsed.key != parse(parser, kind, long + "z" * 100).key


def test_a_long_type_is_cut(parser: IdentifierParser) -> None:
    assert parse(parser, "t" * 200, "42").key[0] == "t" * 64
    # A lone surrogate has no UTF-8; its digest is made all the same.
    assert parse(parser, "t" * 200, "\ud800").key[1].startswith("sha256:")


def test_a_placeholder_is_set_aside_under_its_rule(parser: IdentifierParser) -> None:
    parsed = parse(parser, "user_id", "{{user_id}}")
    assert parsed.refusal_reason is RefusalReason.UNFILLED_MACRO
    assert parsed.refusal_reason in PLACEHOLDERS
    assert not parsed.proves
    assert not parse(parser, "browser_id", "--").attributes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1.2E+11", RefusalReason.ROUNDED),
        ("-1,2e+5", RefusalReason.ROUNDED),
        ("1E+1234", None),
        ("1.2E11", RefusalReason.ROUNDED),
        ("12E+3", None),
    ],
)
def test_a_number_that_a_spreadsheet_rounded_is_set_aside(
    parser: IdentifierParser, text: str, reason: RefusalReason | None
) -> None:
    assert parse(parser, "user_id", text).refusal_reason is reason
    assert parse(parser, "phone", text).refusal_reason is None


def test_a_namespace_keeps_a_source_s_values_apart(parser: IdentifierParser) -> None:
    assert parser.has_namespaces
    assert not IdentifierParser(policy_from_mapping({"types": {"a": {"strength": "strong"}}})).has_namespaces
    assert parser.qualified("user_id", "shop", "42") == "s:42"
    assert parser.qualified("user_id", "elsewhere", "42") == "42"
    assert parser.qualified("user_id", "shop", " ") == " "
    assert parser.qualified("shoe", "shop", "42") == "42"
    assert parse(parser, "user_id", "s:42").key == ("user_id", "s:42")
    # A placeholder is one in every namespace.
    assert parse(parser, "user_id", "s:{{id}}").refusal_reason is RefusalReason.UNFILLED_MACRO


def test_columns_are_parsed_like_single_values(parser: IdentifierParser) -> None:
    texts = ["email", "Ann@x", "phone", "1-2", "shoe", ""]
    expected = [("email", "ann@x"), ("phone", "12"), ("shoe", "1-2"), None]
    for _ in range(2):
        parsed = parser.parse_columns(texts, [0, 2, 4, 0], [1, 3, 3, 5])
        assert [None if one is None else one.key for one in parsed] == expected


def test_columns_with_sources_get_their_namespaces(parser: IdentifierParser) -> None:
    texts = ["user_id", "42", "shop", "elsewhere", "email", "a@x"]
    parsed = parser.parse_columns_of_sources(texts, [0, 0, 4], [1, 1, 5], [2, 3, 2])
    assert [one.key for one in parsed if one is not None] == [("user_id", "s:42"), ("user_id", "42"), ("email", "a@x")]


def other_rules(parser: IdentifierParser) -> None:
    """Keys of e-mails were made by rules 0 and 1, too, and the former are still stored."""
    before = ((0, Normalisation(steps=("trim",))), (1, Normalisation(steps=("lower",))))
    parser.use({"email": KeyRules(number=2, others=before, in_use=frozenset({0}))})


def test_former_keys_are_told_where_they_differ(parser: IdentifierParser) -> None:
    assert parse(parser, "email", "Ann@x").rules == 0
    other_rules(parser)
    parsed = parse(parser, "email", "Ann@x")
    assert (parsed.rules, parsed.former) == (2, ((0, ("email", "Ann@x")),))
    assert parsed.all_keys() == [("email", "ann@x"), ("email", "Ann@x")]
    assert parse(parser, "email", "ann@x").former == ()
    # Keys of the first release were cut.
    assert parse(parser, "email", "aaaaaaaaaa@X").former == ((0, ("email", "aaaaaaaaaa@X")),)


def test_the_rules_of_a_type_are_told(parser: IdentifierParser) -> None:
    assert (parser.number("email"), parser.other_rules_in_use) == (0, {})
    other_rules(parser)
    assert (parser.number("email"), parser.other_rules_in_use) == (2, {"email": frozenset({0})})
    assert parser.number("phone") == 0
    parser.use({"email": KeyRules(number=2)})
    assert parser.other_rules_in_use == {}


def test_a_stored_text_is_parsed_again_with_the_namespace_of_today(parser: IdentifierParser) -> None:
    spaces = (("shop", "old"),)
    before = ((0, Normalisation(steps=("trim",), namespaces=spaces)),)
    parser.use({"user_id": KeyRules(number=1, others=before)})

    def again(text: str, source: str, rules: int) -> tuple[str, str] | None:
        parsed = parser.parse_again("user_id", text, source, rules)
        return None if parsed is None else parsed.key

    assert again("old:42", "shop", 0) == ("user_id", "s:42")
    assert again("42", "web", 0) == ("user_id", "w:42")
    assert again("old:42", "web", 0) == ("user_id", "w:old:42")
    assert again("old:42", "shop", 1) == ("user_id", "old:42")
    assert again("42", "elsewhere", 0) == ("user_id", "42")


def test_a_value_is_compared_by_its_key(parser: IdentifierParser) -> None:
    assert parser.compared("email", "ANN@x") == "ann@x"
    assert parser.compared("email", "  ") == "  "


def test_an_observation_has_each_identifier_once_in_order_of_rank(parser: IdentifierParser) -> None:
    shown = [
        parse(parser, kind, text)
        for kind, text in [
            ("ip_address", "1"),
            ("shoe", "42"),
            ("phone", "7"),
            ("browser_id", "b"),
            ("phone", "7 "),
            ("email", "a@x"),
            ("user_id", "--"),
        ]
    ]
    made = parser.observation(ref="e1", source="web", cause="event", identifiers=shown)
    assert (made.ref, made.source, made.cause) == ("e1", "web", "event")
    assert [one.key for one in made.strong] == [("email", "a@x"), ("phone", "7")]
    # Those that may attribute come first, whatever their place in the policy.
    assert [one.key for one in made.weak] == [("browser_id", "b"), ("ip_address", "1")]
    assert [one.key for one in made.refused] == [("shoe", "42"), ("user_id", "--")]


def test_the_last_texts_are_remembered(parser: IdentifierParser) -> None:
    first = parse(parser, "email", "a@x")
    assert parser.parse("email", "a@x") is first
    parser.use({})
    assert parser.parse("email", "a@x") is first
    other_rules(parser)
    assert parser.parse("email", "a@x") is not first
    assert parser.parse("shoe", "42") is not parser.parse("shoe", "42")
    long = "x" * 513
    assert parser.parse("user_id", long) is not parser.parse("user_id", long)
    assert parser.parse("user_id", long[1:]) is parser.parse("user_id", long[1:])
