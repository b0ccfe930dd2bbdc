"""How far the sending of a file is, so that the same command goes on after a crash."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from dmp_cli.sending.records import Position

_BEFORE_BYTES: Final = 4096


class _Saved(msgspec.Struct, kw_only=True):
    file: str
    offset: int
    number: int
    chain: str
    before: str
    counts: dict[str, int]


@dataclass(slots=True)
class Place:
    """The place in one file that is sent to one address. counts: verdicts up to it."""

    file: str
    _path: Path
    position: Position = field(default_factory=Position)
    counts: dict[str, int] = field(default_factory=dict)

    def save(self) -> None:
        """Remembers the place: everything before it was answered. It is not waited for the disk: what was sent twice
        after a loss of power is known by its ids."""
        saved = _Saved(
            file=self.file,
            offset=self.position.offset,
            number=self.position.number,
            chain=self.position.chain,
            before=_digest_before(self.file, self.position.offset),
            counts=self.counts,
        )
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(saved))
        temporary.replace(self._path)

    def forget(self) -> None:
        """The file was sent."""
        self._path.unlink(missing_ok=True)


def find_place(file: str, url: str, *, restart: bool) -> Place:
    """Where to go on with a file: at the beginning, or where a run before this one ended, if it is still that file."""
    absolute = str(Path(file).resolve())
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    name = hashlib.sha256(f"{absolute}\n{url}".encode()).hexdigest()[:32]
    place = Place(absolute, Path(state) / "dmp" / "sends" / f"{name}.json")
    if restart:
        return place
    try:
        saved = msgspec.json.decode(place._path.read_bytes(), type=_Saved)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return place
    if saved.before == _digest_before(absolute, saved.offset):
        place.position = Position(offset=saved.offset, number=saved.number, chain=saved.chain)
        place.counts = saved.counts
    return place


def _digest_before(file: str, offset: int) -> str:
    """What stands in front of an offset of a plain file, shortened: it tells whether the file is still the same.

    Of files whose offsets are not bytes the beginning is taken."""
    try:
        with Path(file).open("rb") as opened:
            plain = not file.lower().endswith((".gz", ".parquet", ".pq"))
            opened.seek(max(offset - _BEFORE_BYTES, 0) if plain else 0)
            return hashlib.sha256(opened.read(min(offset, _BEFORE_BYTES) if plain else _BEFORE_BYTES)).hexdigest()
    except OSError:
        return ""
