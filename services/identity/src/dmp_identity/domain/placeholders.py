"""Which values name nobody: what a form, a script or an ad server puts where it does not know the person.

Two people who both are "-" or "{{user_id}}" are strangers. A shape is a rule that needs no list; the words, the names
of the fields and the exact values are the policy's. Every shape costs time in proportion to the value's length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from dmp_chassis.unfilled_macros import is_unfilled_macro
from dmp_identity.domain.patterns import PatternSet

LISTED: Final = "blocked"
"""The name of the rule for values and patterns that the policy lists."""

_LEAST_REPEATS: Final = 8
"""Shorter ones are numbers and names that people have: 7, 22, 333."""
_LEAST_DIFFERENT: Final = 5
"""One character, a prefix and separators: so many different characters, or fewer."""
_MOST_AROUND_A_WORD: Final = 8
_SEPARATORS: Final = re.compile(r"[-_:\s]+")
_NOT_A_WORD: Final = re.compile(r"[\W_]+")
_PREFIX: Final = re.compile(r"\+|0x", re.IGNORECASE)
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")

_PLAIN: Final = re.compile(r"\+?[A-Za-z0-9][A-Za-z0-9_.:+/=() -]*(?:@[A-Za-z0-9_.-]*)?")
"""Nearly every identifier: no sign of a macro, and a letter or digit to begin with."""
_DIGIT: Final = re.compile(r"[0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceholderRules:
    """What one type of identifiers sets aside.

    shapes: names of rules in `SHAPES`. values: exact ones, as compared or in lower case. words: in the form of `bare`.
    field_names: in the form of `squeezed`. patterns: matched against the whole compared value.
    """

    shapes: tuple[str, ...] = ()
    values: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    field_names: frozenset[str] = frozenset()
    patterns: PatternSet = field(default_factory=PatternSet)
    _tests: tuple[tuple[str, Callable[[PlaceholderRules, str], bool]], ...] = field(init=False, repr=False)
    _longest_word: int = field(init=False, repr=False)
    _words_have_digits: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        known = self.words | self.field_names
        object.__setattr__(self, "_tests", tuple((name, SHAPES[name]) for name in self.shapes))
        object.__setattr__(self, "_longest_word", max(map(len, known), default=0) + _MOST_AROUND_A_WORD)
        object.__setattr__(self, "_words_have_digits", any(_DIGIT.search(word) for word in known))

    def verdict(self, normalized: str, given: str) -> str | None:
        """The name of the rule that sets the value aside, None if it may name somebody.

        normalized: as compared. given: as it was sent, trimmed: a normalisation may drop the brackets of a macro.
        """
        if self._is_listed(normalized):
            return LISTED
        if self._is_ordinary(given):
            return None
        for text in _spellings(normalized, given):
            if self.is_word(text):
                return LISTED
            for name, test in self._tests:
                if test(self, text):
                    return name
        return None

    def is_word(self, text: str) -> bool:
        """True if the text is one of the words, whatever stands around it or between its parts."""
        return bare(text) in self.words

    def _is_ordinary(self, text: str) -> bool:
        """True if the text is sure to be no placeholder: a look that costs a tenth of all the tests."""
        if _PLAIN.fullmatch(text) is None or (len(text) >= _LEAST_REPEATS and len(set(text)) < _LEAST_DIFFERENT):
            return False
        part = text.partition("@")[0]
        return len(part) > self._longest_word or (not self._words_have_digits and _DIGIT.search(part) is not None)

    def _is_listed(self, normalized: str) -> bool:
        return normalized in self.values or normalized.lower() in self.values or self.patterns.matches(normalized)


def words_of(values: Iterable[str]) -> frozenset[str]:
    """The values that are words, in the form in which words are compared. Numbers and e-mail addresses are none."""
    return frozenset(word for value in values if "@" not in value and any(map(str.isalpha, word := bare(value))))


def bare(text: str) -> str:
    """Lower case, with one space for whatever is neither letter nor digit, and none at the ends."""
    return _NOT_A_WORD.sub(" ", text).strip().lower()


def squeezed(text: str) -> str:
    """Lower case, letters and digits only."""
    return _NOT_A_WORD.sub("", text).lower()


def no_letter_or_digit(_: PlaceholderRules, text: str) -> bool:
    """`-`, `''`, `{}`, `@`."""
    return not (text[0].isalnum() or text[-1].isalnum() or any(map(str.isalnum, text)))


def one_character(_: PlaceholderRules, text: str) -> bool:
    """`00000000`, `ffffffff-ffff-ffff-ffff-ffffffffffff`, `0xEeeeeEee…`: one character eight times or more."""
    if len(text) < _LEAST_REPEATS:
        return False
    repeated = _SEPARATORS.sub("", _PREFIX.sub("", text, count=1))
    return len(repeated) >= _LEAST_REPEATS and len(set(map(str.lower, repeated))) == 1


def unfilled_macro(_: PlaceholderRules, text: str) -> bool:
    """`{{user_id}}`, `${user.id}`, `%%USER_ID%%`, `[USERID]`, `__UID__`, `$UID`, `<user_id>`; also as the local part of
    an e-mail address.
    """
    if is_unfilled_macro(text):
        return True
    local, at, _domain = text.rpartition("@")
    return bool(at) and is_unfilled_macro(local)


def field_name(rules: PlaceholderRules, text: str) -> bool:
    """`user_id`, `userId`, `<email>`: the field's own name in the place of its value."""
    return squeezed(text) in rules.field_names


def email_of_nobody(rules: PlaceholderRules, text: str) -> bool:
    """`na@na.com`, `unknown@unknown.com`: a placeholder on both sides of the `@`."""
    local, at, domain = text.rpartition("@")
    return bool(at) and _is_nobody(rules, local) and _is_nobody(rules, domain.partition(".")[0])


SHAPES: Final[Mapping[str, Callable[[PlaceholderRules, str], bool]]] = {
    "no_letter_or_digit": no_letter_or_digit,
    "unfilled_macro": unfilled_macro,
    "one_character": one_character,
    "field_name": field_name,
    "email_of_nobody": email_of_nobody,
}
"""By the names that a policy file uses and the review list shows."""


def _is_nobody(rules: PlaceholderRules, part: str) -> bool:
    return bool(part) and (rules.is_word(part) or field_name(rules, part) or one_character(rules, part))


def _spellings(normalized: str, given: str) -> Iterator[str]:
    """The value without percent-encoding, compatibility forms and invisible characters, as given, and as compared;
    each once.
    """
    if given.isascii() and "%" not in given:
        yield given
        if normalized != given:
            yield normalized
        return
    yield from dict.fromkeys(text for text in (_plain(unquote(given)), _plain(given), given, normalized) if text)


def _plain(text: str) -> str:
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).strip()
