"""Between protobuf messages and policy trials."""

from __future__ import annotations

from typing import Final

from dmp.identity.v1 import identity_service_pb2 as pb
from dmp_identity.api.convert_history import key_text
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.try_policy import Effect, Trial

_SHOWN_EFFECTS: Final = 100
_SHOWN_NAMES: Final = 20


def trial_to_proto(trial: Trial) -> pb.TryPolicyResponse:
    """The answer of TryPolicy."""
    return pb.TryPolicyResponse(
        people_before=trial.people_before,
        people_after=trial.people_after,
        merge_count=len(trial.merges),
        split_count=len(trial.splits),
        merges=[_effect_to_proto(effect) for effect in trial.merges[:_SHOWN_EFFECTS]],
        splits=[_effect_to_proto(effect) for effect in trial.splits[:_SHOWN_EFFECTS]],
    )


def _effect_to_proto(effect: Effect) -> pb.PolicyEffect:
    return pb.PolicyEffect(
        internal_user_ids=[public_id(person) for person in effect.people[:_SHOWN_NAMES]],
        people_after=effect.people_after,
        identifiers=[key_text(key) for key in effect.keys[:_SHOWN_NAMES]],
    )
