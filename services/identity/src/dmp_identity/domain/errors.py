"""What can be wrong with a request, as data. The sentences are in `api/errors.py`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class ProfileNotFoundError(Exception):
    """No profile has this id."""

    internal_user_id: str


@dataclass(slots=True, eq=False)
class NoMatchError(Exception):
    """No profile has this identifier.

    plus_lost: the value has a space, which an unencoded `+` in an address becomes.
    """

    identifier: str
    plus_lost: bool = False


@dataclass(slots=True, eq=False)
class MalformedBodyError(Exception):
    """The body is not a JSON object."""


@dataclass(slots=True, eq=False)
class OverloadedError(Exception):
    """More requests wait than the service holds."""


@dataclass(slots=True, eq=False)
class NeverMergeError(Exception):
    """Somebody said that these two people are different."""

    internal_user_ids: tuple[str, str]


@dataclass(slots=True, eq=False)
class MergeNotFoundError(Exception):
    """There is no merge of this id."""

    merge_id: str


@dataclass(slots=True, eq=False)
class NeverMergeNotFoundError(Exception):
    """Nothing of this id keeps people apart."""

    never_merge_id: str


@dataclass(slots=True, eq=False)
class ErasureNotFoundError(Exception):
    """There is no erasure of this id."""

    erasure_id: str


@dataclass(slots=True, eq=False)
class TrialRunningError(Exception):
    """A policy is being tried already."""


@dataclass(slots=True, eq=False)
class TrialLimitError(Exception):
    """Trying the policy needed more memory or time than a trial may have."""
