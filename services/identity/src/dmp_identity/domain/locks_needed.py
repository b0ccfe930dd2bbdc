"""Which locks of the identity graph a transaction needs."""

from __future__ import annotations

from enum import Enum


class LocksNeeded(Enum):
    """The locks that recording some observations needs.

    The next batch takes the same locks first: events that change the graph come in waves, so it probably needs them,
    too.
    """

    NONE = 0
    """They change nothing in the graph."""
    STRIPES = 1
    """They make identifiers known."""
    MERGES = 2
    """They change people: stripes, and then the merge lock."""
    EVERY = 3
    """Every stripe and the merge lock: an attempt with fewer has failed."""
