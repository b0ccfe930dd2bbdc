"""Reads a policy from the text of a TOML file, a stranger's too: with a bound on each thing that could take long."""

from __future__ import annotations

import re
import tomllib
from typing import Final

from dmp_identity.domain.identifier_policy import IdentifierPolicy, PolicyError, policy_from_mapping

MAX_BYTES: Final = 64 * 1024
_MOST_DOTS: Final = 8
"""`tomllib` makes every beginning of a dotted key: its time and memory grow with the square of the dots."""

# Strings, comments, and what counts outside them. A string that does not end takes the rest of its line, or of the
# file: there `tomllib` stops. A closing `\"\"\"` may have two quotes more, which belong to the string.
_TOKEN: Final = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"""(?:"{0,2})|\\?\Z)'
    r"|'''.*?(?:'''(?:'{0,2})|\Z)"
    r'|"(?:\\[^\n]|[^"\\\n])*"?'
    r"|'[^'\n]*'?"
    r"|\#[^\n]*"
    r"|[.\n]",
    re.DOTALL,
)


def policy_from_toml(text: bytes) -> IdentifierPolicy:
    """The policy. Raises PolicyError with every problem."""
    if len(text) > MAX_BYTES:
        raise PolicyError([f"must have at most {MAX_BYTES} bytes"])
    try:
        decoded = text.decode()
        if has_long_keys(decoded):
            raise PolicyError([f"must not have a line with more than {_MOST_DOTS} dots outside texts"])
        mapping = tomllib.loads(decoded)
    # A number of more digits than Python reads is a ValueError that is no TOMLDecodeError.
    except (ValueError, RecursionError):
        raise PolicyError(["must be TOML"]) from None
    return policy_from_mapping(mapping)


def has_long_keys(text: str) -> bool:
    """True if a line has more dots outside strings and comments than any sensible key."""
    dots = 0
    for match in _TOKEN.finditer(text):
        found = match[0]
        if found == ".":
            dots += 1
            if dots > _MOST_DOTS:
                return True
        elif found == "\n":
            dots = 0
    return False
