"""What names nobody, under which rule, and that no real identifier is taken for it."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import IdentifierPolicy, PolicyError, policy_from_mapping
from dmp_identity.domain.placeholders import SHAPES
from dmp_identity.domain.refusal_reason import PLACEHOLDERS, RefusalReason
from dmp_identity.settings import load_policy
from tests.identity.realistic_ids import realistic_ids

POLICY = load_policy()
STRONG = sorted(name for name, kind in POLICY.types.items() if kind.strong)

BY_SHAPE = {
    RefusalReason.NO_LETTER_OR_DIGIT: [
        "-",
        "''",
        '""',
        "{}",
        "[]",
        "--",
        "?",
        "%22%22",
        "()",
        "{{}}",
        "…",
        "\u200b-",
        "\uff20",
    ],
    RefusalReason.UNFILLED_MACRO: [
        *(
            "{{user_id}}",
            "{{ user.id }}",
            "${user.id}",
            "%%USER_ID%%",
            "[USERID]",
            "[user_id_1]",
            "__UID__",
            "$UID",
            "$USER_ID",
        ),
        *(
            "<visitor>",
            "{customer}",
            "#{cookie}",
            "%{session}",
            "%CUSTOMER%",
            "##CUSTOMER##",
            "*|FNAME|*",
            "<%= id %>",
            "{% visitor %}",
        ),
        *(
            "[[visitor]]",
            "@@CUSTOMER@@",
            "%7B%7Buser_id%7D%7D",
            "u-{{user_id}}",
            "\uff5b\uff5buser_id\uff5d\uff5d",
            "{{user_id}}@acme.com",
            "$(customer)",
        ),
    ],
    RefusalReason.ONE_CHARACTER: [
        *(
            "00000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "FFFFFFFF-ffff-ffff-ffff-ffffffffffff",
            "xxxxxxxx",
            "+99999999",
        ),
        *(
            "00000000-0000-0000-0000-000000000000",
            "ff:ff:ff:ff:ff:ff",
            "11111111",
            "0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
        ),
    ],
    RefusalReason.FIELD_NAME: ["user_id", "userId", "USERID", "uid", "User-ID", "id", "__uid__", ":user_id"],
    RefusalReason.BLOCKED: [
        *(
            "(none)",
            "not_set",
            "NOT SET",
            "test",
            "TEST",
            "xxx",
            "deleted",
            "default",
            "user",
            "anon",
            "unknown_user",
            "REDACTED",
        ),
        *(
            "[REDACTED]",
            "0.0.0.0",  # noqa: S104  # a value, nothing listens on it
            "null",
            "<null>",
            "n/a",
            "N.A.",
            "undefined",
            "[object Object]",
            "0",
            "-1",
            "\uff4e\uff55\uff4c\uff4c",
        ),
    ],
}

BY_TYPE = {
    "email": [
        *(
            "n/a@n/a.com",
            "na@na.com",
            "a@a.a",
            "noemail@noemail.com",
            "no@email.com",
            "unknown@unknown.com",
            "user@example.com",
        ),
        *(
            "email@domain.com",
            "admin@admin.com",
            "123@123.com",
            "@",
            "@gmail.com",
            "test@test.com",
            "null@null.com",
            "noreply@example.com",
        ),
        *(
            "NA@NA.COM",
            "no-email@acme.com",
            "{{email}}",
            "${user.email}",
            "[EMAIL]@acme.com",
            "<email>",
            "xxxxxxxx@xxxxxxxx.com",
            "none",
        ),
    ],
    "wallet_address": [
        *(
            "0x000000000000000000000000000000000000dEaD",
            "0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE",
            "0x",
            "0x0",
            "wallet",
        ),
        *(
            "0x0000000000000000000000000000000000000000",
            "0x0000000000000000000000000000000000000001",
            "0xdeaddeaddeaddeaddeaddeaddeaddeaddeaddead",
        ),
        *(
            "1BitcoinEaterAddressDontSendf59kuE",
            "0xdEAD000000000000000042069420694206942069",
            "11111111111111111111111111111111",
        ),
    ],
    "phone": [
        "{{phone}}",
        "{{user_phone}}",
        "%%PHONE%%",
        "[phone]",
        "+0000000",
        "00000000",
        "11111111",
        "unknown",
        "phone number",
        "n/a",
    ],
    "browser_id": ["{{cookie}}", "${cookie_id}", "00000000-0000-0000-0000-000000000000", "client_id", "null"],
    "ip_address": ["0.0.0.0", "::", "{ip}", "255.255.255.255", "-", "unknown"],  # noqa: S104  # a value
}


def refusal_reason(type_name: str, text: str, policy: IdentifierPolicy = POLICY) -> RefusalReason | None:
    """The rule under which a value is set aside."""
    parsed = IdentifierParser(policy).parse(type_name, text)
    assert parsed is not None
    assert parsed.proves is (parsed.refusal_reason is None and POLICY.types[type_name].strong)
    return parsed.refusal_reason


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, texts in BY_SHAPE.items() for text in texts])
def test_a_placeholder_names_nobody_as_user_id(rule: RefusalReason, text: str) -> None:
    assert refusal_reason("user_id", text) is rule


@pytest.mark.parametrize(("type_name", "text"), [(name, text) for name, texts in BY_TYPE.items() for text in texts])
def test_a_placeholder_names_nobody_in_its_type(type_name: str, text: str) -> None:
    assert refusal_reason(type_name, text) in PLACEHOLDERS


def test_a_thousand_realistic_ids_name_somebody() -> None:
    ids = list(realistic_ids())
    assert len(ids) == 1000
    assert len(set(ids)) > 950
    assert [(name, text, rule) for name, text in ids if (rule := refusal_reason(name, text)) is not None] == []


@given(st.sampled_from(STRONG), st.integers(1, 10**30), st.sampled_from(["", "u_", "id-", "k:"]))
def test_a_number_is_a_person_unless_it_is_one_digit_again_and_again(name: str, number: int, prefix: str) -> None:
    one_digit = not prefix and len(str(number)) >= 8 and len(set(str(number))) == 1
    assert refusal_reason(name, f"{prefix}{number}") is (RefusalReason.ONE_CHARACTER if one_digit else None)


@given(st.uuids(version=4))
def test_a_uuid_is_a_person_however_it_is_written(made: object) -> None:
    for text in (str(made), str(made).upper(), f"{{{made}}}", str(made).replace("-", "")):
        assert refusal_reason("user_id", text) is None


@given(
    st.from_regex(r"[A-Za-z_][A-Za-z_.]{0,30}", fullmatch=True),
    st.sampled_from(["{{%s}}", "{{ %s }}", "${%s}", "%%%%%s%%%%", "[%s]", "<%s>", "{%s}", "#{%s}"]),
    st.sampled_from(["user_id", "email", "wallet_address", "browser_id"]),
)
def test_whatever_stands_in_a_macro_it_names_nobody(name: str, macro: str, type_name: str) -> None:
    assert refusal_reason(type_name, macro % name) in PLACEHOLDERS


@given(
    st.text("-_.,:;!?'\"{}[]()<>@#$%&*+=/\\|~ \t", min_size=1).filter(str.strip), st.sampled_from(["user_id", "email"])
)
def test_punctuation_names_nobody(text: str, type_name: str) -> None:
    assert refusal_reason(type_name, text) is not None


@given(st.characters(categories=["L", "N"]), st.integers(8, 200))
def test_one_character_names_nobody_from_eight_on(character: str, times: int) -> None:
    assert refusal_reason("user_id", character * times) is not None


@given(st.text(min_size=1, max_size=600))
def test_every_text_has_a_verdict(text: str) -> None:
    for name in POLICY.types:
        IdentifierParser(POLICY).parse(name, text)


def with_settings(**settings: Any) -> IdentifierPolicy:  # noqa: ANN401  # as TOML gives it
    """The default policy with other settings at the top."""
    mapping = tomllib.loads((resources.files("dmp_identity") / "policy.toml").read_text())
    return policy_from_mapping({**mapping, **settings})


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_each_shape_can_be_switched_off(shape: str) -> None:
    example = {
        "no_letter_or_digit": "-",
        "unfilled_macro": "{{visitor}}",
        "one_character": "77777777",
        "field_name": "uid",
        "email_of_nobody": "na@na.com",
    }[shape]
    assert refusal_reason("user_id", example) is RefusalReason(shape)
    others = [name for name in SHAPES if name != shape]
    assert refusal_reason("user_id", example, with_settings(placeholder_shapes=others)) is None


def test_a_type_can_have_shapes_of_its_own() -> None:
    mapping = tomllib.loads((resources.files("dmp_identity") / "policy.toml").read_text())
    mapping["types"]["user_id"]["placeholder_shapes"] = ["no_letter_or_digit"]
    policy = policy_from_mapping(mapping)
    assert refusal_reason("user_id", "88888888", policy) is None
    assert refusal_reason("email", "88888888", policy) is RefusalReason.ONE_CHARACTER


@pytest.mark.parametrize("shapes", ["unfilled_macro", ["nonsense"], [3]])
def test_an_unknown_shape_is_refused(shapes: object) -> None:
    with pytest.raises(PolicyError, match="placeholder_shapes"):
        with_settings(placeholder_shapes=shapes)
