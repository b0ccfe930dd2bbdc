"""The kinds of actions that there are, in any service."""

from __future__ import annotations

from typing import Final

ACTION_KINDS: Final = (
    "merge_profiles",
    "undo_merge",
    "create_never_merge",
    "remove_never_merge",
    "detach_identifier",
    "attach_identifier",
    "undo_shared_value",
    "renormalise",
    "erase_person",
    "replace_reference",
    "update_reference",
    "reset_reference_clock",
    "repair_campaign",
)
"""As the audit log names them, which is for all services together."""
