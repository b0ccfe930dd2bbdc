"""Decides which texts of an event's metadata are an erased person's, and takes them out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

_SHORTEST_PART: Final = 5
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)


def without_values(metadata: bytes, values: Collection[str]) -> bytes | None:
    """The JSON object without the values of a person. Everything else stays as it was sent.

    A text or number that is one of the values becomes null, whatever its case, spaces and punctuation. So does a longer
    text that contains a value of at least five characters. A member whose name is such a text is removed.

    Returns None if the object nests too deeply to be searched; it must not be kept then.
    """
    sought = _Sought(values)
    try:
        return _kept(metadata, sought)
    except RecursionError:
        return None


class _Sought:
    def __init__(self, values: Collection[str]) -> None:
        self.folded = {value.strip().casefold() for value in values}
        self.bare = {_bare(value) for value in values} - {""}
        self.parts = {value for value in self.folded if len(value) >= _SHORTEST_PART}

    def is_in(self, text: str) -> bool:
        folded = text.strip().casefold()
        return folded in self.folded or _bare(text) in self.bare or any(part in folded for part in self.parts)


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _kept(raw: bytes, sought: _Sought) -> bytes:
    raw = raw.strip()
    match raw[:1]:
        case b"{":
            members = [(name, value) for name, value in _OBJECT.decode(raw).items() if not sought.is_in(name)]
            return b"{" + b",".join(_encoded(name) + b":" + _kept(bytes(v), sought) for name, v in members) + b"}"
        case b"[":
            return b"[" + b",".join(_kept(bytes(element), sought) for element in _ARRAY.decode(raw)) + b"]"
        case b'"':
            return b"null" if sought.is_in(_TEXT.decode(raw)) else raw
        case b"t" | b"f" | b"n":
            return raw
        case _:
            return b"null" if sought.is_in(raw.decode()) else raw


def _encoded(name: str) -> bytes:
    return msgspec.json.encode(name)
