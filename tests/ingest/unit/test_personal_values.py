"""One person's values go out of the metadata of others' events, and nothing else changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_ingest.domain.personal_values import without_values

VALUES = ["son@x.com", "+49 30-1", "u7"]


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ('{"mail":"son@x.com"}', '{"mail":null}'),
        ('{"mail":" SON@X.com "}', '{"mail":null}'),
        ('{"note":"call son@x.com, please"}', '{"note":null}'),
        ('{"phone":"+49301","other":"+49302"}', '{"phone":null,"other":"+49302"}'),
        ('{"phone":49301}', '{"phone":null}'),
        ('{"ids":["u7","u77",{"a":"u7"}]}', '{"ids":[null,"u77",{"a":null}]}'),
        ('{"son@x.com":1,"b":2}', '{"b":2}'),
        (
            '{ "n" : 1e400, "big": 12345678901234567890123, "x":0.10 }',
            '{"n":1e400,"big":12345678901234567890123,"x":0.10}',
        ),
        ('{"t":true,"f":false,"z":null}', '{"t":true,"f":false,"z":null}'),
        ('{"u":"\\u0073on@x.com"}', '{"u":null}'),
        ("{}", "{}"),
    ],
)
def test_values_go_and_the_rest_stays_as_sent(metadata: str, kept: str) -> None:
    cleaned = without_values(metadata.encode(), VALUES)
    assert cleaned is not None
    assert cleaned.decode() == kept


@pytest.mark.parametrize(
    ("values", "text", "goes"),
    [
        (["abcde"], "xx abcde xx", True),
        (["abcd"], "xx abcd xx", False),
        (["abcd"], "a-b c.d", True),
        (["+49 30 1"], "49/301", True),
        (["true"], "true", True),
        (["-"], "-", True),
        (["-"], "+", False),
        (["XXXX"], "--", False),
    ],
)
def test_a_text_goes_by_its_letters_and_digits_and_a_longer_one_by_a_part_of_five_characters(
    values: list[str], text: str, goes: bool
) -> None:
    cleaned = without_values(json.dumps({"a": text}).encode(), values)
    assert cleaned == (b'{"a":null}' if goes else json.dumps({"a": text}, separators=(",", ":")).encode())


def test_true_false_and_null_are_nobodys_value() -> None:
    metadata = b'{"t":true,"f":false,"z":null}'
    assert without_values(metadata, ["true", "false", "null"]) == metadata


def test_an_object_that_is_nested_too_deeply_does_not_stay() -> None:
    deep = '{"a":' * 3000 + '"son@x.com"' + "}" * 3000
    cleaned = without_values(deep.encode(), VALUES)
    assert cleaned is None or b"son@x.com" not in cleaned


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(VALUES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text() | st.sampled_from(VALUES), JSON))
def test_no_value_is_left_and_what_names_nobody_is_the_same(metadata: dict[str, object]) -> None:
    cleaned = without_values(json.dumps(metadata).encode(), VALUES)
    assert cleaned is not None
    assert not any(value in json.dumps(json.loads(cleaned), ensure_ascii=False) for value in VALUES[:2])
    assert without_values(cleaned, VALUES) == cleaned
    assert json.loads(without_values(json.dumps(metadata).encode(), []) or b"") == metadata
