"""The user index: a small number for each user id, so that columns of users are columns of integers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
import numpy.typing as npt


class UserIndex:
    """Gives each user id a number, from 0 on, in the order in which the ids are first met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []

    def __len__(self) -> int:
        return len(self._names)

    def numbers(self, user_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """The users' numbers; users not met before get new ones."""
        known, names = self._numbers, self._names
        found = list(map(known.get, user_ids))
        if None in found:
            missing = (user_id for user_id, number in zip(user_ids, found, strict=True) if number is None)
            new = dict(zip(dict.fromkeys(missing), count(len(names)), strict=False))
            known.update(new)
            names.extend(new)
            # A look into a dictionary of a million users costs several cache misses: one for each user is enough.
            found = [
                new[user_id] if number is None else number for user_id, number in zip(user_ids, found, strict=True)
            ]
        return np.array(found, np.int64)

    def names(self, numbers: npt.NDArray[np.int64]) -> list[str]:
        """The users of these numbers."""
        return [self._names[number] for number in numbers.tolist()]

    def number(self, user_id: str) -> int | None:
        """The user's number, None if it was never met."""
        return self._numbers.get(user_id)

    def rename(self, user_id: str, name: str) -> None:
        """Gives a user another id under the same number. Does nothing if the user was never met."""
        number = self._numbers.get(user_id)
        if number is not None:
            del self._numbers[user_id]
            self._names[number] = name
            self._numbers.setdefault(name, number)

    def everybody(self) -> list[str]:
        """All users, by number."""
        return list(self._names)

    def keep(self, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Forgets all users but the kept ones, and numbers these anew in the same order.

        kept: by old number. Returns the new number of each old one, -1 for users that are gone.
        """
        self._names = [name for name, stays in zip(self._names, kept.tolist(), strict=True) if stays]
        self._numbers = {name: number for number, name in enumerate(self._names)}
        return np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int64)
