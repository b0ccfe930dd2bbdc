"""A policy's text is read in bounded time, whoever wrote it."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_identity.domain.identifier_policy import PolicyError
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
    ("text", "problem"),
    [
        (b"{", "must be TOML"),
        (b"\xff", "must be TOML"),
        (b"#" * MAX_BYTES, "types must have at least one type"),  # as long as it may be: read, and found empty
        (b"#" * (MAX_BYTES + 1), "must have at most 65536 bytes"),
        (b"a." * 9 + b"a = 1", "must not have a line with more than 8 dots outside texts"),
    ],
)
def test_what_is_wrong_is_said(text: bytes, problem: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_from_toml(text)
    assert problem in caught.value.problems


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
        ("a = 1\na.b.c.d.e.f.g.h.i = 1", False),
    ],
)
def test_dots_count_outside_texts_and_comments(text: str, long: bool) -> None:
    assert has_long_keys(text) is long


@given(st.text(max_size=200))
def test_every_text_is_read_or_refused_with_problems(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_from_toml(text.encode("utf-8", "surrogatepass"))
    assert all(caught.value.problems)


def test_the_packaged_policy_is_read_by_the_same_rules() -> None:
    assert load_policy().types["email"].placeholders.patterns.matches("none@x.com")
