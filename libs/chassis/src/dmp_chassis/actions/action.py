"""What an action is, and who asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dmp_chassis.callers import key_of
from dmp_chassis.uuid7 import uuid7_text

if TYPE_CHECKING:
    import grpc

OPERATOR: Final = "operator"
"""Who acts by a command on the machine."""
NOBODY_NAMED: Final = "-"
"""Who calls while no keys are asked for."""
MOST_SUBJECTS: Final = 100
"""An action names so many ids; `counts` tell how many there were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks for an act, and the reason that they give."""

    actor: str
    """The name of a key, OPERATOR or NOBODY_NAMED."""
    reason: str = ""
    """As it was given; people may write anything."""


def asked_by(context: grpc.aio.ServicerContext[Any, Any], reason: str = "") -> Asked:
    """Who makes this call, as the gateway says."""
    return Asked(actor=key_of(context) or NOBODY_NAMED, reason=reason)


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the audit log: ids and counts, no personal values but for a reason that somebody typed.

    kind: what was done, a verb and a noun (`merge_profiles`).
    result: `done`; `unchanged` if there was nothing to do; others as the kind needs them (`requested`).
    subjects: ids of whom or what it was about, at most MOST_SUBJECTS.
    refs: other names that belong to it, such as `merge_id`. counts: how much it was.
    reason: None if none was given, or if an erasure has taken it away.
    id: UUID version 7. acted_at: aware, UTC, of the service's clock.
    """

    kind: str
    actor: str
    result: str
    subjects: Sequence[str] = ()
    refs: dict[str, str] = {}
    counts: dict[str, int] = {}
    reason: str | None = None
    acted_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    id: str = msgspec.field(default_factory=uuid7_text)
