"""Why the evidence of an identifier is not followed."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from dmp_identity.domain.placeholders import LISTED, SHAPES


class RefusalReason(StrEnum):
    """Why evidence was not followed. Each refusal is kept for review under one of these."""

    BLOCKED = "blocked"
    """The policy's list says that the value names nobody."""
    NO_LETTER_OR_DIGIT = "no_letter_or_digit"
    """The value has neither letter nor digit."""
    UNFILLED_MACRO = "unfilled_macro"
    """The value is a macro that nobody filled."""
    ONE_CHARACTER = "one_character"
    """The value is one character, again and again."""
    FIELD_NAME = "field_name"
    """The value is the name of its own field."""
    EMAIL_OF_NOBODY = "email_of_nobody"
    """The value is an e-mail address with a placeholder on both sides of the `@`."""
    TOO_LONG = "too_long"
    """The value, as it is compared, is longer than its type allows."""
    ROUNDED = "rounded"
    """A spreadsheet wrote the number with an exponent: its last digits are lost."""
    UNKNOWN_TYPE = "unknown_type"
    """The policy does not know the type."""
    SHARED = "shared"
    """The value came with so many others that it belongs to many people."""
    LIMIT = "limit"
    """The person has as many values of the type as the policy allows."""
    LARGE_CLUSTERS = "large_clusters"
    """Two people that both have very many identifiers would have become one."""
    NEVER_MERGE = "never_merge"
    """Somebody said that the two are different people."""
    WOULD_MERGE = "would_merge"
    """No refusal: reading stored values again by other rules would make the two one person."""
    WOULD_SPLIT = "would_split"
    """No refusal: reading stored values again by other rules would take back what made the two one person."""


PLACEHOLDERS: Final = frozenset(map(RefusalReason, (LISTED, *SHAPES)))
"""The rules that say that a value names nobody."""
