"""A policy's text is read in bounded time, and its patterns are matched in bounded time, whoever wrote them."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_identity.domain.identifier_policy import PolicyError
from dmp_identity.domain.patterns import PatternSet, problem_of
from dmp_identity.domain.policy_text import MAX_BYTES, has_long_keys, policy_from_toml
from dmp_identity.settings import load_policy
from tests.identity.hostile_policies import HOSTILE


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_refused_soon_and_takes_little_memory(name: str) -> None:
    text = HOSTILE[name].encode()
    began = time.process_time()
    with pytest.raises(PolicyError):
        policy_from_toml(text)
    assert time.process_time() - began < 2
    tracemalloc.start()
    try:
        with pytest.raises(PolicyError):
            policy_from_toml(text)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [b"{", b"\xff", b"types = 3", b"[types.x]\nstrength = 5", b"#" * (MAX_BYTES + 1)])
def test_what_is_no_policy_is_refused(text: bytes) -> None:
    with pytest.raises(PolicyError):
        policy_from_toml(text)


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("a.b.c.d.e.f.g.h.i = 1", False),
        ("a.b.c.d.e.f.g.h.i.j = 1", True),
        ('a = "................"', False),
        ("a = '................'", False),
        ('a = """\n................\n"""', False),
        ("a = '''\n................\n'''", False),
        ("# ................", False),
        ('a = "#" # "\n.........', True),
        ('a = "\\"........."', False),
        ("a = '\\'.........", True),
        ('a = """x"""".........', True),
        ('a = """x""""".........', True),
        ('a = """\\""".........', False),
        ("a.b = 1\n" * 100, False),
    ],
)
def test_dots_count_outside_texts_and_comments(text: str, long: bool) -> None:
    assert has_long_keys(text) is long


@pytest.mark.parametrize(
    "pattern", [r"(a)\1", "(?=a)b", "(?<=a)b", "a{1001}", "((a{100}){100}){100}", "(", "a" * 1001, "\ud800"]
)
def test_a_pattern_that_cannot_be_followed_in_linear_time_is_refused(pattern: str) -> None:
    assert problem_of(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(a|a)*b",
        r"(a?a?)+b",
        r"(\w+\s?)*!",
        ".*.*.*.*x",
        "(?:(?:a*)b?)*c",
        "(?:a|a)" * 29 + "c",
        "(a{30}){30}c",
    ],
)
def test_every_other_pattern_is_quick(pattern: str) -> None:
    assert not problem_of(pattern)
    patterns = PatternSet([pattern])
    began = time.process_time()
    assert not patterns.matches("a" * 512 + "?")
    assert time.process_time() - began < 0.5


def test_patterns_match_whole_texts_of_any_characters() -> None:
    patterns = PatternSet(["no-?reply@.*", "h\u00e9.o"])
    for text, matches in {
        "no-reply@x": True,
        "xno-reply@x": False,
        "h\u00e9\U0001f600o": True,
        "\ud800": False,
        "": False,
        "noreply@\n": False,
    }.items():
        assert patterns.matches(text) is matches, text
    assert not PatternSet().matches("anything")


@given(st.text(max_size=200))
def test_every_text_is_read_or_refused_with_problems(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_from_toml(text.encode("utf-8", "surrogatepass"))
    assert all(caught.value.problems)


def test_the_packaged_policy_is_read_by_the_same_rules() -> None:
    assert load_policy().types["email"].placeholders.patterns.matches("none@x.com")
