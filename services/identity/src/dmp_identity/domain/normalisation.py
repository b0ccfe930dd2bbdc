"""How values of identifiers are compared. Each rule is a pure function of the trimmed text; an empty result means
"no value".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final

_PUNCTUATION: Final = re.compile(r"[\s.()\[\]{}\-\u2010-\u2015\u2212]+")
_HEXADECIMAL: Final = re.compile(r"0[xX][0-9a-fA-F]+")


def trimmed(text: str) -> str:
    """As it is."""
    return text


def lower_case(text: str) -> str:
    """Without regard to case."""
    return text.lower()


def digits_and_signs(text: str) -> str:
    """Without spaces, dots, dashes and brackets: a phone number."""
    return _PUNCTUATION.sub("", text)


def wallet(text: str) -> str:
    """`0x` hexadecimal in lower case; every other form as it is, because case carries meaning there."""
    return text.lower() if _HEXADECIMAL.fullmatch(text) else text


def ip(text: str) -> str:
    """The canonical text of an address; an IPv4 address in IPv6 form is the IPv4 address. What is no address stays
    as it is.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


RULES: Final[Mapping[str, Callable[[str], str]]] = {
    "trimmed": trimmed,
    "lower_case": lower_case,
    "digits_and_signs": digits_and_signs,
    "wallet": wallet,
    "ip": ip,
}
"""By the names that a policy file uses."""
