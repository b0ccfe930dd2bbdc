"""What was done with keys, by whom and when: kept in the keys file itself, so an act and its entry are one write."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dmp_stack.keys.api_key import ApiKey

MOST_ENTRIES: Final = 10_000
"""The newest are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAct:
    """One entry. act: `created`, `revoked`, `expires` (it was given another end) or `forgotten`.

    by: the user of this machine whose command it was. id, name: of the key; the key itself is nowhere.
    """

    at: datetime
    by: str
    act: str
    id: str
    name: str


def acts_between(before: Iterable[ApiKey], after: Iterable[ApiKey], *, at: datetime) -> list[KeyAct]:
    """What makes the one list of keys the other, so that no command can forget to say what it did."""
    old, new = {key.id: key for key in before}, {key.id: key for key in after}
    found = [("created", key) for key in new.values() if key.id not in old]
    for key in new.values():
        known = old.get(key.id, key)
        if key.revoked_at != known.revoked_at:
            found.append(("revoked", key))
        if key.expires_at != known.expires_at:
            found.append(("expires", key))
    found += [("forgotten", key) for key in old.values() if key.id not in new]
    by = _user()
    return [KeyAct(at=at, by=by, act=act, id=key.id, name=key.name) for act, key in found]


def history_to_json(history: Sequence[KeyAct]) -> list[dict[str, str]]:
    """As the file has it, the oldest first."""
    return [
        {"at": one.at.isoformat(), "by": one.by, "act": one.act, "id": one.id, "name": one.name}
        for one in history[-MOST_ENTRIES:]
    ]


def history_from_json(entries: object) -> list[KeyAct]:
    """Raises ValueError, TypeError or KeyError for anything that is not what `history_to_json` writes."""
    if not isinstance(entries, list):
        raise TypeError("history")
    return [
        KeyAct(
            at=datetime.fromisoformat(entry["at"]),
            by=str(entry["by"]),
            act=str(entry["act"]),
            id=str(entry["id"]),
            name=str(entry["name"]),
        )
        for entry in entries
    ]


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
