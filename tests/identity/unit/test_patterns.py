"""A policy's patterns match whole texts, in time that grows only with the length of the text, whoever wrote them."""

from __future__ import annotations

import time

import pytest

from dmp_identity.domain.patterns import PatternSet, problem_of


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=a)b", "(?<=a)b", "a{1001}", "((a{100}){100}){100}", "(", "\ud800"])
def test_a_pattern_that_cannot_be_followed_in_linear_time_is_refused(pattern: str) -> None:
    assert problem_of(pattern) == "is not a regular expression of RE2, or repeats too much"


def test_a_pattern_has_at_most_a_thousand_characters() -> None:
    assert problem_of("a" * 1000) == ""
    assert problem_of("a" * 1001) == "must have at most 1000 characters"


def test_a_pattern_takes_at_most_a_megabyte_and_groups_cost_nothing() -> None:
    assert problem_of(r"\pL{50}") == ""
    assert problem_of(r"\pL{100}") == "is not a regular expression of RE2, or repeats too much"
    assert problem_of("(" * 80 + "a" + ")" * 80 + "{1000}") == ""


def test_what_is_wrong_with_a_pattern_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert problem_of("(jane@x.example") != ""
    assert capfd.readouterr() == ("", "")


def test_a_set_of_patterns_matches_what_one_of_them_matches() -> None:
    patterns = PatternSet(["a", "b+", "(c)"])
    assert [text for text in ("a", "bb", "c", "ab", "d", "") if patterns.matches(text)] == ["a", "bb", "c"]


def test_as_many_large_patterns_as_may_be_are_matched_together() -> None:
    patterns = PatternSet([f"{number}[a-z]{{200}}" for number in range(100)])
    assert patterns.matches("99" + "z" * 200)
    assert not patterns.matches("99" + "z" * 201)
    larger = PatternSet([f"{number}[^a]{{200}}" for number in range(100)])
    assert larger.matches("99" + "z" * 200)


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
