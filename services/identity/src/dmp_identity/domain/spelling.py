"""The steps by which spellings of one value become one text.

Each is a pure function of a text, raises nothing, and costs time in proportion to the length of the text.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Final

import idna

_SEPARATORS: Final = re.compile(r"[\s.()\[\]{}\-\u2010-\u2015\u2212]+")
_SLASHES: Final = re.compile(r"[/\\\u2044\u2215]+")
_HEXADECIMAL: Final = re.compile(r"0[xX][0-9a-fA-F]+")
_BECH32: Final = re.compile(r"[A-Z]{1,16}1[AC-HJ-NP-Z02-9]{6,}")
_INVISIBLE: Final = re.compile(
    # Controls, soft hyphen, joiners, marks of direction, fillers, variation selectors, tags, byte order mark.
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_MAILTO: Final = re.compile(r"(?:mailto:\s*)+", re.IGNORECASE)
_PHONE_SCHEME: Final = re.compile(r"(?:(?:tel|callto|sms):\s*)+", re.IGNORECASE)
_DOUBLE_ZERO: Final = re.compile(r"00[1-9]\d{2,}(?:;ext=\d+)?", re.ASCII)
_WHOLE: Final = re.compile(r"-?\d+\.0+", re.ASCII)
_EXTENSION_NAME: Final = re.compile(r"(?:;\s*ext\s*|\b(?:extension|extn|ext|xtn)\.?|x|#)\Z", re.IGNORECASE)
_LONGEST_EXTENSION_NAME: Final = 24
_LONGEST_EXTENSION: Final = 11
_DIGITS: Final = "0123456789"
_PORT: Final = re.compile(r":\d{1,5}", re.ASCII)
_LONGEST_DOMAIN: Final = 253


def trim(text: str) -> str:
    """Without white space at both ends."""
    return text.strip()


def strip_invisible(text: str) -> str:
    """Without characters that show nothing: zero-width ones, marks of direction, control characters."""
    return text if text.isascii() and text.isprintable() else _INVISIBLE.sub("", text)


def nfkc(text: str) -> str:
    """Unicode's compatibility composition: full-width and other presentation forms, composed and decomposed letters."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def lower(text: str) -> str:
    """Without regard to case."""
    return text.lower()


def separators(text: str) -> str:
    """Without spaces, dots, dashes and brackets."""
    return _SEPARATORS.sub("", text)


def slashes(text: str) -> str:
    """Without slashes, which stand between the parts of a phone number."""
    return _SLASHES.sub("", text)


def hex_lower(text: str) -> str:
    """`0x` hexadecimal in lower case; every other form as it is, because case carries meaning there."""
    return text.lower() if _HEXADECIMAL.fullmatch(text) else text


def bech32_lower(text: str) -> str:
    """An address in bech32 (`bc1…`, `ltc1…`, `addr1…`) that was written all in capitals, in small letters.

    What mixes cases is no bech32; base58 has letters that bech32 does not and needs both cases, and stays as it is.
    """
    return text.lower() if _BECH32.fullmatch(text) else text


def whole_number(text: str) -> str:
    """A whole number without the decimals that a spreadsheet or a JSON library gave it: `12345.0` is `12345`."""
    return text[: text.index(".")] if text.endswith("0") and _WHOLE.fullmatch(text) else text


def point_zero(text: str) -> str:
    """A number without the one decimal that a JSON library gives a whole number: `12345.0` is `12345`.

    For phone numbers, in which a dot may stand between groups of digits: `555.0000` stays.
    """
    return text[:-2] if text.endswith(".0") and text[:-2].removeprefix("+").isdecimal() else text


def decimal_digits(text: str) -> str:
    """The digits of every script as `0` to `9`."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)


def email_address(text: str) -> str:
    """The address in `mailto:address?…`, `<address>` and `Name <address>`; any other text as it is."""
    if ":" in text:
        scheme = _MAILTO.match(text)
        if scheme is not None:
            text = text[scheme.end() :].partition("?")[0]
    start = text.rfind("<")
    if start < 0:
        return text
    address, closed, _ = text[start + 1 :].partition(">")
    return address.strip() if closed and address.strip() else text


def trailing_dot(text: str) -> str:
    """Without the dots at the end of a domain: the root of the domain name system."""
    return text.rstrip(".") if "@" in text else text


def idna_domain(text: str) -> str:
    """The domain after the last `@` in Unicode, by IDNA 2008 with the mapping of UTS 46: `xn--bcher-kva.de` is
    `bücher.de`, and `straße.de` is not `strasse.de`. A domain that the standard does not know stays as it is.
    """
    name, at, domain = text.rpartition("@")
    if not at or not domain or len(domain) > _LONGEST_DOMAIN or (domain.isascii() and "xn--" not in domain.lower()):
        return text
    try:
        encoded = idna.encode(domain, uts46=True, transitional=False).decode("ascii")
        return f"{name}@{idna.decode(encoded)}"
    except (idna.IDNAError, UnicodeError, ValueError):
        return text


def phone_scheme(text: str) -> str:
    """Without `tel:`, `callto:` or `sms:`."""
    scheme = _PHONE_SCHEME.match(text) if ":" in text else None
    return text if scheme is None else text[scheme.end() :]


def phone_extension(text: str) -> str:
    """The extension at the end as `;ext=12`, spelled `x12`, `ext. 12`, `extension 12`, `#12` or `;ext=12` before.

    Extensions are compared: two desks of one switchboard are two people.
    """
    head = text.rstrip(" )#")
    front = head.rstrip(_DIGITS)
    extension = head[len(front) :]
    if not 1 <= len(extension) <= _LONGEST_EXTENSION or not front:
        return text
    front = front.rstrip(" .:=-(")
    if not front or front[-1].isdecimal():
        return text
    named = _EXTENSION_NAME.search(front[-_LONGEST_EXTENSION_NAME:])
    if named is None:
        return text
    number = front[: len(front) - len(named[0])].rstrip(" ,;(")
    # A letter before the name makes it part of a word: a number spelled in letters.
    if not number or number[-1].isalpha() or not any(character.isdecimal() for character in number):
        return text
    return f"{number};ext={extension}"


def double_zero(text: str) -> str:
    """`00` before a country code as `+`. Nothing is guessed for a number without one."""
    return f"+{text[2:]}" if text.startswith("00") and _DOUBLE_ZERO.fullmatch(text) else text


def ip_port_zone(text: str) -> str:
    """An address without port, zone and the brackets that a port needs. What is no address stays as it is."""
    candidate = text
    if candidate.startswith("["):
        inside, closed, rest = candidate[1:].partition("]")
        if not closed or (rest and not _PORT.fullmatch(rest)):
            return text
        candidate = inside
    elif candidate.count(":") == 1 and _PORT.fullmatch(candidate[candidate.index(":") :]):
        candidate = candidate[: candidate.index(":")]
    candidate = candidate.partition("%")[0]
    return candidate if _address(candidate) is not None else text


def ip(text: str) -> str:
    """The canonical text of an address; an IPv4 address in IPv6 form is the IPv4 address. What is no address stays
    as it is.
    """
    address = _address(text)
    if address is None:
        return text
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
