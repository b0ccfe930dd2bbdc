"""Questions about people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dmp_client import answers
from dmp_client.http import Request
from dmp_client.questions.asked import Page, Question, page_of, part, post, reader, segment


def user(
    internal_user_id: str,
    *,
    page_size: int | None = None,
    page_token: str | None = None,
    matches_token: str | None = None,
) -> Question[answers.User]:
    """`GET /users/{id}`."""
    query = {"page_size": page_size, "page_token": page_token, "matches_token": matches_token}
    request = Request(method="GET", path=f"/users/{segment(internal_user_id)}", query=query)
    return Question(request, reader(answers.User))


def match(identifier: str, value: str, namespace: str | None = None) -> Question[answers.Match]:
    """`GET /debug/match`."""
    query = {"identifier": identifier, "value": value, "namespace": namespace}
    return Question(Request(method="GET", path="/debug/match", query=query), reader(answers.Match))


def explain(from_: str, to: str) -> Question[answers.Explanation]:
    """`GET /debug/explain`: each side is an id or `type:value`."""
    request = Request(method="GET", path="/debug/explain", query={"from": from_, "to": to})
    return Question(request, reader(answers.Explanation))


def identify(email: str | None, phone_number: str | int | None) -> Question[answers.Contact]:
    """`POST /identify`. Repeating it adds no second row."""
    body: dict[str, Any] = {}
    if email is not None:
        body["email"] = email
    if phone_number is not None:
        body["phoneNumber"] = str(phone_number)
    return Question(post("/identify", body), part("contact", answers.Contact))


def merge(internal_user_ids: Sequence[str], reason: str) -> Question[answers.Merged]:
    """`POST /merge`. Repeating it does nothing more."""
    body = {"internal_user_ids": list(internal_user_ids), "reason": reason}
    return Question(post("/merge", body), reader(answers.Merged))


def undo(merge_id: str, reason: str) -> Question[answers.Undone]:
    """`POST /merges/{id}:undo`. Repeating it answers that it was done."""
    return Question(post(f"/merges/{segment(merge_id)}:undo", {"reason": reason}), reader(answers.Undone))


def keep_apart(internal_user_ids: Sequence[str], reason: str) -> Question[answers.NeverMerge]:
    """`POST /never-merges`."""
    body = {"internal_user_ids": list(internal_user_ids), "reason": reason}
    return Question(post("/never-merges", body), part("never_merge", answers.NeverMerge))


def let_merge(never_merge_id: str, reason: str) -> Question[answers.NeverMergeRemoved]:
    """`POST /never-merges/{id}:remove`. Repeating it answers that it was done."""
    request = post(f"/never-merges/{segment(never_merge_id)}:remove", {"reason": reason})
    return Question(request, reader(answers.NeverMergeRemoved))


def detach(internal_user_id: str, identifier: str, value: str, reason: str) -> Question[answers.Detached]:
    """`POST /users/{id}/identifiers:detach`. A repetition would find that the person has it no more."""
    body = {"identifier": identifier, "value": value, "reason": reason}
    request = post(f"/users/{segment(internal_user_id)}/identifiers:detach", body, repeatable=False)
    return Question(request, reader(answers.Detached))


def attach(internal_user_id: str, identifier: str, value: str, reason: str) -> Question[answers.Attached]:
    """`POST /users/{id}/identifiers:attach`."""
    body = {"identifier": identifier, "value": value, "reason": reason}
    request = post(f"/users/{segment(internal_user_id)}/identifiers:attach", body)
    return Question(request, reader(answers.Attached))


def history(internal_user_id: str) -> Question[answers.History]:
    """`GET /users/{id}/merges`."""
    request = Request(method="GET", path=f"/users/{segment(internal_user_id)}/merges")
    return Question(request, reader(answers.History))


def graph(internal_user_id: str) -> Question[answers.Graph]:
    """`GET /users/{id}/graph`."""
    request = Request(method="GET", path=f"/users/{segment(internal_user_id)}/graph")
    return Question(request, reader(answers.Graph))


def review(rule: str | None, internal_user_id: str | None, page_token: str | None) -> Question[Page[answers.Refusal]]:
    """`GET /debug/review`: a page of refusals, and the next page's token."""
    query = {"rule": rule, "internal_user_id": internal_user_id, "page_token": page_token}
    return Question(Request(method="GET", path="/debug/review", query=query), page_of("refusals", answers.Refusal))


def shared(page_token: str | None) -> Question[Page[answers.SharedValue]]:
    """`GET /debug/shared`: a page of values that many people share, and the next page's token."""
    request = Request(method="GET", path="/debug/shared", query={"page_token": page_token})
    return Question(request, page_of("values", answers.SharedValue))


def undo_shared(identifier: str, value: str, reason: str) -> Question[answers.SharedUndone]:
    """`POST /debug/shared:undo`."""
    body = {"identifier": identifier, "value": value, "reason": reason}
    return Question(post("/debug/shared:undo", body), reader(answers.SharedUndone))


def try_policy(toml: str) -> Question[answers.PolicyTrial]:
    """`POST /debug/policy:try`. It changes nothing."""
    request = Request(
        method="POST", path="/debug/policy:try", body=toml.encode(), content_type="application/toml", repeatable=False
    )
    return Question(request, reader(answers.PolicyTrial))


def erase(internal_user_id: str, *, dry_run: bool) -> Question[answers.Erasure]:
    """`DELETE /users/{id}`."""
    request = Request(method="DELETE", path=f"/users/{segment(internal_user_id)}", query={"dry_run": dry_run or None})
    return Question(request, part("receipt", answers.Erasure))


def erase_identifier(identifier: str, value: str, *, dry_run: bool) -> Question[answers.Erasure]:
    """`POST /erasures`."""
    body = {"identifier": identifier, "value": value, "dry_run": dry_run}
    return Question(post("/erasures", body), part("receipt", answers.Erasure))


def erasure(erasure_id: str) -> Question[answers.Erasure]:
    """`GET /erasures/{id}`."""
    request = Request(method="GET", path=f"/erasures/{segment(erasure_id)}")
    return Question(request, part("receipt", answers.Erasure))
