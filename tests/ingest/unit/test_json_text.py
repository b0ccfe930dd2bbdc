"""What can be said of a JSON text without reading it: is it clean, how deep is it, do two of them say the same?"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_ingest.domain.json_text import is_clean, is_clean_json, is_deeper, same_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (b'{"a":"plain"}', True),
        ('{"a":"é🎉"}'.encode(), True),
        (b'{"a":"\\u00e9"}', True),
        (b'{"a":"\\ud83c\\udf89"}', True),
        (b'{"a":"\\ud83c\\udf89\\ud83c\\udf89"}', True),
        (b'{"a":"\\\\u0000"}', True),
        (b'{"a":"\\\\ud800"}', True),
        (b'{"a":"\\u0001"}', True),
        (b'{"a":"\\u0000"}', False),
        (b'{"\\u0000":1}', False),
        (b'{"a":"\\\\\\u0000"}', False),
        (b'{"a":"\\ud800"}', False),
        (b'{"a":"\\uDBFF"}', False),
        (b'{"a":"\\udc00"}', False),
        (b'{"a":"\\uDFFF"}', False),
        (b'{"a":"\\ud83c\\ud83c\\udf89"}', False),
        (b'{"a":"\\ud83c x"}', False),
        (b'{"a":"\\udf89\\ud83c"}', False),
        (b'{"a":"\xff"}', False),
        (b'{"a":"\xed\xa0\x80"}', False),
    ],
)
def test_a_json_text_is_clean_without_nul_lone_surrogates_and_broken_utf8(text: bytes, clean: bool) -> None:
    assert is_clean_json(text) is clean


@given(st.text(st.characters(exclude_categories=()), max_size=6), st.booleans())
def test_a_json_text_is_as_clean_as_the_text_in_it(text: str, ascii_only: bool) -> None:
    encoded = json.dumps([text], ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    # Two lone surrogates side by side become one character when they are escaped.
    if ascii_only:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert is_clean_json(encoded) is is_clean(text)


@pytest.mark.parametrize(
    ("text", "clean"),
    [("", True), ("a", True), ("é🎉", True), ("\x01", True), ("a\0", False), ("é\0", False), ("é\ud800", False)],
)
def test_a_text_is_clean_without_nul_and_lone_surrogates(text: str, clean: bool) -> None:
    assert is_clean(text) is clean


@pytest.mark.parametrize(
    ("text", "is_too_deep"),
    [
        (b"{}", False),
        (b'{"a":[]}', False),
        (b'{"a":[[]]}', True),
        (b'{"a":[{}]}', True),
        (b'{"a":[],"b":[],"c":{}}', False),
        (b'{"a":[],"b":[[]]}', True),
        (b'{"a":"[[["}', False),
        (b'{"a":"\\"[[["}', False),
        (b'{"a":"\\\\","b":[[]]}', True),
        (b'{"[[[":1}', False),
        (b'{"a":"x\n[[["}', False),
        (b'{"a":"[[[', True),
    ],
)
def test_depth_is_counted_in_brackets_outside_texts(text: bytes, is_too_deep: bool) -> None:
    assert is_deeper(text, 2) is is_too_deep


@given(VALUES, st.integers(0, 4))
def test_a_text_is_deeper_exactly_if_its_value_is(value: object, deepest: int) -> None:
    assert is_deeper(json.dumps(value).encode(), deepest) is (depth(value) > deepest)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"a":1,"b":2}', b'{ "b" : 2,\n"a":1 }', True),
        (b'{"a":"\\u00e9"}', '{"a":"é"}'.encode(), True),
        (b'{"a":1,"a":2}', b'{"a":2}', True),
        (b'{"a":1}', b'{"a":1.0}', True),
        (b'{"a":1}', b'{"a":10e-1}', True),
        (b'{"a":100}', b'{"a":1E2}', True),
        (b'{"a":1.50}', b'{"a":1.5}', True),
        (b'{"a":0.001}', b'{"a":1e-3}', True),
        (b'{"a":-0}', b'{"a":0.00}', True),
        (b'{"a":-0}', b'{"a":0e99}', True),
        (b'{"a":0}', b'{"a":0.0e5}', True),
        (b'{"a":0}', b'{"a":1}', False),
        (b'{"a":1000}', b'{"a":0.1e4}', True),
        (b'{"a":1200.0}', b'{"a":12e2}', True),
        (b'{"a":1e99999999999999999999}', b'{ "a":1e99999999999999999998}', False),
        (b'{"a":1e99999999999999999999}', b'{ "a":2e99999999999999999999}', False),
        (b'{"a":-1e99999999999999999999}', b'{ "a":1e99999999999999999999}', False),
        (b'{"a":-1}', b'{"a":1}', False),
        (b'{"a":1e400}', b'{"a":10e399}', True),
        (b'{"a":1e400}', b'{"a":1e401}', False),
        (b'{"a":1e+5}', b'{"a":100000}', True),
        (b'{"a":12}', b'{"a":21}', False),
        (b'{"a":1}', b'{"a":10}', False),
        (b'{"a":9007199254740993}', b'{"a":9007199254740992}', False),
        (b'{"a":1}', b'{"a":true}', False),
        (b'{"a":0}', b'{"a":false}', False),
        (b'{"a":1}', b'{"a":"1"}', False),
        (b'{"a":null}', b"{}", False),
        (b'{"a":[1,2]}', b'{"a":[2,1]}', False),
        (b'{"a":["",0,0]}', b'{"a":0}', False),
        (b"{}", b"[]", False),
        (b"", b"", True),
        (b"", b"{}", False),
        (b"{}", b"", False),
        (b"nonsense", b"nonsense", True),
        (b"nonsense", b"nonsense ", False),
        (b'{"a":NaN}', b'{"a": NaN}', False),
        (b'{"a":"\xff"}', b'{ "a":"\xff"}', False),
        (b'{"a":1e999999999999999999}', b'{"a":10e999999999999999998}', True),
        (b'{"a":1e0000000000000000000005}', b'{"a":100000}', True),
        (b'{"a":1e1000000000000000000}', b'{ "a":1e1000000000000000000}', True),
        (b'{"a":1e1000000000000000000}', b'{"a":10e999999999999999999}', False),
        (b"[" * 100_000, b"[" * 99_999, False),
    ],
)
def test_two_texts_say_the_same_if_their_values_are_equal_to_the_last_digit(
    one: bytes, other: bytes, same: bool
) -> None:
    assert same_json(one, other) is same
    assert same_json(other, one) is same


@given(VALUES)
def test_a_text_says_the_same_in_another_order_and_spacing(value: object) -> None:
    plain = json.dumps(value).encode()
    assert same_json(plain, json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False).encode())
    assert not same_json(plain, json.dumps([value]).encode())
