"""Between protobuf messages and policy trials."""

from __future__ import annotations

from dmp.identity.v1 import identity_service_pb2 as pb
from dmp_identity.api.convert_history import key_text
from dmp_identity.domain.profile_id import public_id
from dmp_identity.domain.try_policy import Effect, Trial


def trial_to_proto(trial: Trial) -> pb.TryPolicyResponse:
    """The answer of TryPolicy."""
    return pb.TryPolicyResponse(
        people_before=trial.people_before,
        people_after=trial.people_after,
        merge_count=trial.merge_count,
        split_count=trial.split_count,
        set_aside_count=trial.set_aside_count,
        merges=map(_effect_to_proto, trial.merges),
        splits=map(_effect_to_proto, trial.splits),
        set_aside=[
            pb.SetAsideIdentifier(internal_user_id=public_id(one.person), identifier=key_text(one.key), rule=one.rule)
            for one in trial.set_aside
        ],
    )


def _effect_to_proto(effect: Effect) -> pb.PolicyEffect:
    return pb.PolicyEffect(
        internal_user_ids=map(public_id, effect.people),
        people_after=effect.people_after,
        identifiers=map(key_text, effect.keys),
    )
