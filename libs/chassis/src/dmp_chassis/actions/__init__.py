"""Actions: what people decided about the stored data, who it was and why; the audit log of a service.

A use case records its action in its own transaction, so there is no act without an entry and no entry without an act.
Entries are never changed, except that an erasure may take a reason away and `expire_actions` what is too old.
"""

from __future__ import annotations

from dmp_chassis.actions.action import MOST_SUBJECTS, NOBODY_NAMED, OPERATOR, Action, Asked, asked_by
from dmp_chassis.actions.expire import expire_actions, expire_actions_loop
from dmp_chassis.actions.log import action_table, record, remove_reasons
from dmp_chassis.actions.messages import answer_actions, page_fields, query_of
from dmp_chassis.actions.pages import ActionPage, ActionQuery, action_query, list_actions, page_of

__all__ = [
    "MOST_SUBJECTS",
    "NOBODY_NAMED",
    "OPERATOR",
    "Action",
    "ActionPage",
    "ActionQuery",
    "Asked",
    "action_query",
    "action_table",
    "answer_actions",
    "asked_by",
    "expire_actions",
    "expire_actions_loop",
    "list_actions",
    "page_fields",
    "page_of",
    "query_of",
    "record",
    "remove_reasons",
]
