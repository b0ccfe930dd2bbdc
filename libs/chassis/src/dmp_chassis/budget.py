"""A bound on what all requests of a process hold together: who would go beyond it is refused, and nobody waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self


class Share:
    """What one request holds of a budget, until the block ends that it is the context of. Made by `Budget.share`."""

    __slots__ = ("_change", "_held")

    def __init__(self, change: Callable[[int, int], None]) -> None:
        self._change = change
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hold(0)

    @property
    def held(self) -> int:
        """How much it holds."""
        return self._held

    def hold(self, amount: int) -> None:
        """From now on it holds so much.

        Raises the budget's refusal if there is no room for more. Less always fits, and any amount if nobody else holds
        anything.
        """
        if amount != self._held:
            self._change(self._held, amount)
            self._held = amount

    def moved(self) -> Share:
        """Another share, which holds what this one held. This one holds nothing any more."""
        other = Share(self._change)
        other._held, self._held = self._held, 0
        return other


class Budget:
    """So much may be held together, of whatever the caller counts: bytes, events.

    A request that is alone is taken, even if it is larger: otherwise it would be refused for ever.
    """

    def __init__(self, most: int, *, refusal: Callable[[], Exception]) -> None:
        """refusal: makes what is raised when there is no room."""
        self._most = most
        self._refusal = refusal
        self._held = 0

    def share(self, amount: int = 0) -> Share:
        """Holds so much, until the block ends. Raises the refusal at once if there is no room for it."""
        share = Share(self._change)
        share.hold(amount)
        return share

    def _change(self, before: int, after: int) -> None:
        others = self._held - before
        if after > before and others > 0 and others + after > self._most:
            raise self._refusal()
        self._held = others + after
