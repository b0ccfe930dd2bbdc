"""Which spellings are one value, and which are not, by the packaged policy."""

# ruff: noqa: RUF001  # confusable characters are what this is about

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.normalisation import (
    LONGEST_TEXT,
    NAMES_BEFORE,
    STEPS,
    Normalisation,
    normalisation_from_names,
    normalisation_from_text,
)
from dmp_identity.domain.parsed_identifier import ParsedIdentifier
from dmp_identity.domain.refusal_reason import RefusalReason
from dmp_identity.settings import load_policy
from tests.identity.policies import RULES_BEFORE

POLICY = load_policy()


def read(kind: str, text: str) -> ParsedIdentifier:
    """The identifier of a value that has one."""
    parsed = IdentifierParser(POLICY).parse(kind, text)
    assert parsed is not None
    return parsed


@pytest.mark.parametrize(
    ("kind", "key", "spellings"),
    [
        ("phone", "+4930123", ["0049 30 123", "00 49 (30) 123", "tel:+49-30-123", "TEL: +49.30.123", "+49 30/123"]),
        (
            "phone",
            "+4930123",
            ["＋４９ ３０ １２３", "+٤٩ ٣٠ ١٢٣", "+४९३०१२३", "\u200e+49 30 123\u200b", "callto:004930123"],
        ),
        ("phone", "+49301", ["0049301", "0049 30-1"]),
        ("phone", "+3212345;ext=12", ["+32 12345 x12", "+3212345x12", "+32 12345 ext. 12", "+32 12345 Ext 12"]),
        (
            "phone",
            "+3212345;ext=12",
            ["+32 12345;ext=12", "tel:+32-12345;ext=12", "+32 12345 extension 12", "003212345 #12"],
        ),
        (
            "phone",
            "+3212345;ext=12",
            ["+32 12345, ext 12", "+32 12345 (ext. 12)", "+32 12345 extn.12", "＋32 12345 ｘ12"],
        ),
        ("phone", "1234", ["1/234", "1 / 234", "12-34", "(1)234"]),
        ("email", "bob@x.com", ["Bob@X.com", " bob@x.com ", "bob\u200b@x.com", "\ufeffbob@x.com", "bob＠x.com"]),
        (
            "email",
            "bob@x.com",
            ["mailto:bob@x.com", "MAILTO:bob@x.com?subject=hi", "<bob@x.com>", "Bob B. <bob@x.com>"],
        ),
        (
            "email",
            "bob@x.com",
            ['"Bob <the> Builder" <bob@x.com>', "mailto:<bob@x.com>", "bob@x.com.", "ｂｏｂ@ｘ.ｃｏｍ"],
        ),
        ("email", "josé@x.com", ["jose\u0301@x.com", "jos\u00e9@x.com", "JOSE\u0301@X.COM"]),
        (
            "email",
            "bob@bücher.de",
            ["bob@xn--bcher-kva.de", "bob@XN--BCHER-KVA.DE", "bob@BÜCHER.de", "bob@bu\u0308cher.de."],
        ),
        ("email", "bob@例え.jp", ["bob@例え。jp", "bob@xn--r8jz45g.jp"]),
        ("email", "abc", ["abc", "ABC", " abc "]),
        (
            "wallet_address",
            "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
            ["BC1QAR0SRRR7XFKVY5L643LYDNW9RE59GTZZWF5MDQ"],
        ),
        ("wallet_address", "0xabc123", ["0xABC123", "0XaBc123", " 0xabc123 "]),
        ("ip_address", "1.2.3.4", ["1.2.3.4:8080", " 1.2.3.4 ", "::ffff:1.2.3.4", "[::ffff:1.2.3.4]:80"]),
        ("ip_address", "2001:db8::1", ["[2001:db8::1]:443", "[2001:DB8:0::1]", "2001:db8:0:0::1", "2001:db8::1%eth0"]),
        ("ip_address", "fe80::1", ["fe80::1%eth0", "[fe80::1%25en0]:80"]),
        ("user_id", "12345", ["12345.0", " 12345 ", "12345.00", "１２３４５", "12345\u200d"]),
        ("phone", "12345", ["12345.0", "1-2345", "１２３４５.0"]),
        ("phone", "+4930123456", ["+4930123456.0", "004930123456.0", "+49 30 123456"]),
        ("browser_id", "b-1", ["b-1", " b-1", "b\u200b-1", "ｂ-1"]),
    ],
)
def test_spellings_of_one_value_are_one(kind: str, key: str, spellings: list[str]) -> None:
    assert {spelling: read(kind, spelling).key[1] for spelling in spellings} == dict.fromkeys(spellings, key)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("phone", ["+32 12345 x12", "+32 12345 x13", "+32 12345", "+32 12345 x012", "+32 1234512"]),
        ("phone", ["0301234", "+49301234", "301234", "030 12345"]),
        ("phone", ["0000", "00", "001", "+1"]),
        ("phone", ["555.0000", "555", "555.00", "5550"]),
        ("phone", ["1-800-FLOWERS", "1-800-MAX4", "1800"]),
        ("email", ["bob@straße.de", "bob@strasse.de", "bob@xn--strasse-de"]),
        ("email", ["bob@x.com", "bob.@x.com", "b.ob@x.com", "bob+tag@x.com", "bob@x.com.org"]),
        ("email", ["", "bob <at> x", "bob"][1:]),
        ("wallet_address", ["1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "1BOATSLRHTKNNGKDXEEOBR76B53LETTPYT"]),
        ("wallet_address", ["DsmcYVbP1Nmag2H4AS17UTvmWXmGeA7nLDx", "dsmcyvbp1nmag2h4as17utvmwxmgea7nldx"]),
        (
            "wallet_address",
            ["bc1Qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"],
        ),
        ("ip_address", ["1.2.3.4", "1.2.3.5:8080", "2001:db8::1", "2001:db8::2"]),
        ("ip_address", ["1.2.3.4:http", "1.2.3", "[1.2.3.4", "not an address"]),
        ("user_id", ["12345", "12345.5", "12345.01", "012345", "12345.", "-12345.0", "1.2.0"]),
        ("user_id", ["Abc", "abc", "ABC"]),
    ],
)
def test_near_misses_are_different_values(kind: str, values: list[str]) -> None:
    assert len({read(kind, value).key for value in values}) == len(values)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("phone", "+49 30 1234567"),
        ("phone", "919191"),
        ("phone", "(030) 123-45.67"),
        ("email", "A@B.com"),
        ("user_id", "u_999"),
        ("wallet_address", "0xABC123"),
        ("browser_id", "browser_001"),
        ("ip_address", "10.0.0.1"),
    ],
)
def test_ordinary_values_keep_the_keys_that_they_had(kind: str, text: str) -> None:
    rules = normalisation_from_names(RULES_BEFORE[kind])
    assert isinstance(rules, Normalisation)
    assert read(kind, text).key[1] == rules.key(text)


@pytest.mark.parametrize(
    "text", ["4.479E+11", "4,479E+11", "4E+11", "4.479e+011", " 4.479E+11 ", "4.479e11", "4,479E11"]
)
def test_what_a_spreadsheet_rounded_is_set_aside(text: str) -> None:
    for kind in ("phone", "user_id"):
        assert read(kind, text).refusal_reason is RefusalReason.ROUNDED


def test_what_looks_a_little_like_it_is_not() -> None:
    for text in ("4479E11", "12e5", "E+11", "4.479E-11x", "+447911123456"):
        assert read("user_id", text).refusal_reason is None


def test_a_value_that_grows_is_set_aside_and_never_cut() -> None:
    one, other = ("İ" * 290 + f"{end}@x.com" for end in "ab")
    assert (read("email", one).refusal_reason, read("email", other).refusal_reason) == (
        RefusalReason.TOO_LONG,
        RefusalReason.TOO_LONG,
    )
    assert read("email", one).key != read("email", other).key
    # What shrinks is short enough.
    assert read("email", "A name that is long " * 30 + "<a@b.com>").key == ("email", "a@b.com")
    assert read("email", "x" * (LONGEST_TEXT + 1)).refusal_reason is RefusalReason.TOO_LONG


CHAINS = [
    *((kind.name, kind.normalise) for kind in POLICY.types.values()),
    *((name, Normalisation(steps=steps)) for name, steps in NAMES_BEFORE.items()),
]

TEXTS = st.text(max_size=60) | st.lists(
    st.sampled_from(
        [
            "00",
            "+",
            "49",
            "(",
            ")",
            "[",
            "]",
            "<",
            ">",
            "@",
            ".",
            ":",
            "/",
            "x",
            "ext",
            ";ext=",
            "#",
            " ",
            "mailto:",
            "tel:",
            "xn--",
            "bcher-kva",
            "ß",
            "ü",
            "u\u0308",
            "İ",
            "ﬁ",
            "\u200b",
            "\u0345",
            "\u1e9e",
            "％",
            "%",
            "?",
            "BC1Q",
            "0x",
            "A",
            "12",
            "٣",
            "３",
            ".0",
            "\ufdfa",
            "。",
            "\u0130",
            "Σ",
            "\u1fb3",
            "::1",
            "1.2.3.4",
        ]
    ),
    max_size=14,
).map("".join)


@given(TEXTS)
def test_the_key_of_a_key_is_the_key(text: str) -> None:
    for name, rules in CHAINS:
        key = rules.key(text)
        assert rules.key(key) == key, name


def test_every_character_is_stable_between_others() -> None:
    # All at once: a thousand characters in one text would hide what one of them does, so each is one of three.
    for code in range(0x110000):
        character = chr(code)
        if not unicodedata.is_normalized("NFKC", character) or character.lower() != character:
            for name in ("email", "phone"):
                key = POLICY.types[name].normalise.key(f"a{character}1")
                assert POLICY.types[name].normalise.key(key) == key, hex(code)


@given(st.text(max_size=400), st.sampled_from(list(POLICY.types)))
def test_every_text_is_read_and_no_key_is_longer_than_its_type_allows(text: str, kind: str) -> None:
    parsed = IdentifierParser(POLICY).parse(kind, text)
    if parsed is not None and parsed.refusal_reason is None:
        assert 0 < len(parsed.key[1]) <= POLICY.types[kind].max_length


@pytest.mark.parametrize(
    "text",
    [
        "<" * LONGEST_TEXT,
        "mailto:" * 290,
        "tel:" * 500,
        "0" * LONGEST_TEXT,
        "x1" * 1000,
        "ext" * 600 + "1",
        "(" * 2000 + "1",
        "a@" + "ü." * 1000,
        "a@" + "ü" * 250,
        "a@xn--" + "a" * 240,
        "\ufdfa" * LONGEST_TEXT,
        "İ" * LONGEST_TEXT,
        "\u0301" * LONGEST_TEXT,
        ("\u0315\u0300\u05ae\u0062" * 600)[:LONGEST_TEXT],
        "1." * 1000,
        "A1" + "Q" * 2000,
        ":" * 2000,
        " x" * 1000 + "1",
        "1 " * 1000 + "x",
    ],
)
def test_no_text_costs_more_than_a_few_milliseconds(text: str) -> None:
    for kind in POLICY.types:
        IdentifierParser(POLICY).parse(kind, text[:LONGEST_TEXT])
        started = time.process_time()
        IdentifierParser(POLICY).parse(kind, text[:LONGEST_TEXT])
        assert time.process_time() - started < 0.1


def test_rules_are_stored_as_a_text_and_read_again() -> None:
    for _, rules in CHAINS:
        assert normalisation_from_text(rules.text) == rules
    assert normalisation_from_text("trim no_such_step") is None


def test_a_step_that_means_something_else_makes_other_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Normalisation(steps=("trim", "lower"))
    before = rules.text
    monkeypatch.setitem(STEPS, "lower", (STEPS["lower"][0], 2))
    assert rules.text == "trim lower/2"
    assert normalisation_from_text(before) is None
    assert normalisation_from_text(rules.text) == rules
