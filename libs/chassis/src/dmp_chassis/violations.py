"""What is wrong with a request, field by field: one type, one error and one sentence for all services.

    violations = Violations()
    if not text:
        violations.add("campaign_id", "is required")
    violations.check()

Pure, so that rules in a `domain` package may say what they find in these words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

_SHOWN: Final = 5


class Violation(NamedTuple):
    """One thing that is wrong with one field."""

    field: str
    """Its path in the request (`events[3].event_id`); empty for the request itself."""
    description: str
    """Completes a sentence that begins with the field: `is required`, `must not be after to`."""


@dataclass(slots=True, eq=False)
class InvalidArgument(Exception):
    """The request is wrong in these places: all of them, not only the first."""

    violations: Sequence[Violation]


class Violations(list[Violation]):
    """Collects what is wrong with one request."""

    def add(self, field: str, description: str) -> None:
        """Notes one more."""
        self.append(Violation(field, description))

    def check(self) -> None:
        """Raises InvalidArgument if there is any."""
        if self:
            raise InvalidArgument(self)


def sentence(violations: Sequence[Violation]) -> str:
    """The public sentence: `campaign_id is required; to must be …`; of many the first five, and how many more."""
    parts = [f"{each.field} {each.description}" if each.field else each.description for each in violations[:_SHOWN]]
    more = len(violations) - len(parts)
    return "; ".join((*parts, f"and {more} more") if more else parts) or "the request is invalid"
