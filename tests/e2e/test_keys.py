"""The whole system with keys on: from the first admin key to a revoked one, by curl's way, the client's and `dmp`."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import psycopg
import pytest

from dmp.identity.v1 import merge_pb2
from dmp.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from dmp_client import DmpClient, NotAllowedError
from dmp_stack.stack import Stack
from tests.clients.terminal import Shell, environment
from tests.clients.zygote import Zygote
from tests.conditions import wait_until


@pytest.fixture(scope="module")
def system(new_stack: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    said: list[str] = []
    keys_directory = tmp_path_factory.mktemp("keys")
    with new_stack(report=said.append, api_keys=True, keys_directory=keys_directory) as running:
        assert f"the first admin key is in {running.keys.first_key}" in said
        yield running


@pytest.fixture(scope="module")
def first(system: Stack) -> str:
    """The first admin key."""
    return system.keys.first_key.read_text().strip()


def keys(system: Stack, *arguments: str) -> str:
    """What `python -m dmp_stack keys` prints."""
    command = [sys.executable, "-m", "dmp_stack.keys", "--directory", str(system.keys.path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_a_key_from_its_making_to_its_end(system: Stack, first: str) -> None:
    campaign = f"camp_{secrets.token_hex(6)}"
    path, event = f"/stats?campaign_id={campaign}&from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z", {"type": "click"}
    event |= {"event_id": secrets.token_hex(8), "campaign_id": campaign, "creative_id": "c", "source": "test"}
    event |= {"occurred_at": "2026-01-01T00:00:00Z", "user_id": "u"}
    with httpx.Client(base_url=system.http_url, timeout=30.0, trust_env=False) as client:
        assert client.post("/events", json=event).status_code == 401
        assert client.get("/healthz").status_code == 200
        sender = {"x-api-key": keys(system, "create", "sender", "--scopes", "ingest")}
        reader = {"authorization": f"Bearer {keys(system, 'create', 'reader', '--scopes', 'read')}"}
        wait_until(lambda: client.get(path, headers=reader).status_code == 200, "the reader's key")
        assert client.post("/events", json=event, headers=sender).status_code == 202
        assert client.post("/events", json=event, headers=reader).status_code == 403
        assert client.get(path, headers=sender).status_code == 403
        assert client.delete("/users/user_x", headers=sender).status_code == 403
        assert client.get("/audit", headers={"x-api-key": first}).status_code == 400
        keys(system, "revoke", "reader")
        wait_until(lambda: client.get(path, headers=reader).status_code == 401, "the reader's key is refused")
        assert client.post("/events", json=event, headers=sender).status_code == 202


@pytest.mark.parametrize("transport", ["json", "grpc"])
def test_the_python_client_presents_its_key(system: Stack, first: str, transport: str) -> None:
    campaign = f"camp_{secrets.token_hex(6)}"
    verdicts: list[str] = []
    with DmpClient(
        system.http_url,
        api_key=first,
        source="test",
        spool=":memory:",
        transport=transport,
        on_verdict=lambda verdict: verdicts.append(verdict.kind.value),
    ) as client:
        client.track("click", campaign_id=campaign, creative_id="c", user_id="u")
        assert client.flush(20)
        assert client.health().failures == 0
    assert verdicts == ["accepted"]
    unkeyed = DmpClient(system.http_url, source="test", spool=":memory:", transport=transport)
    unkeyed.track("click", campaign_id=campaign, creative_id="c", user_id="u")
    assert not unkeyed.flush(1)
    assert unkeyed.health().waiting == 1, "an event is kept until there is a key"
    unkeyed.close(0)


def test_a_question_without_its_scope_is_not_allowed(system: Stack) -> None:
    key = keys(system, "create", "only-ingest", "--scopes", "ingest")
    with DmpClient(system.http_url, api_key=key, source="test", spool=":memory:") as client:

        def refused() -> str:
            with pytest.raises(NotAllowedError) as refusal:
                client.match("email", "nobody@nowhere.example")
            return refusal.value.status

        wait_until(lambda: refused() == "PERMISSION_DENIED", "the key is known")


def test_dmp_takes_its_key_from_a_flag_the_environment_or_its_file(system: Stack, first: str, tmp_path: Path) -> None:
    question, not_found, not_allowed = ("match", "email:nobody@nowhere.example"), 3, 6
    zygote = Zygote(tmp_path, environment(tmp_path, ""))
    try:
        shell = Shell(tmp_path, system.http_url, zygote)
        assert "Give an API key" in shell.run(*question, expect=not_allowed).stderr
        shell.run(*question, "--api-key", first, expect=not_found)
        shell.run(*question, expect=not_found, DMP_API_KEY=first)
        shell.run("config", "api_key", first)
        shell.run(*question, expect=not_found)
    finally:
        zygote.close()


def test_native_callers_need_a_key_too(system: Stack, first: str) -> None:
    with grpc.insecure_channel(system.grpc_address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call: Any = channel.unary_unary("/dmp.stats.v1.StatsService/GetReference")
        with pytest.raises(grpc.RpcError) as refusal:
            call(b"", timeout=20)
        assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert refusal.value.details() == "a key is required: Authorization: Bearer, or x-api-key"
        call(b"", timeout=20, metadata=(("authorization", f"Bearer {first}"),))


def test_the_audit_log_names_the_key_whatever_callers_say_of_themselves(system: Stack, first: str) -> None:
    desk = keys(system, "create", "desk", "--scopes", "admin,people,ingest")
    events = [
        {
            "event_type": "view",
            "timestamp": 1700000000,
            "source": "test",
            "identifiers": {"email": f"{secrets.token_hex(6)}@x.example"},
        }
        for _ in range(2)
    ]
    forged = {"authorization": f"Bearer {desk}", "x-internal-caller": "operator"}
    with (
        httpx.Client(base_url=system.http_url, timeout=30.0, trust_env=False) as client,
        grpc.insecure_channel(system.grpc_address, options=[("grpc.enable_http_proxy", 0)]) as channel,
    ):
        wait_until(lambda: client.post("/events", json=events, headers=forged).status_code == 202, "the key is known")
        answer = client.post("/events", json=events, headers=forged).json()
        people = [result["internal_user_id"] for result in answer["results"]]
        merged = client.post("/merge", json={"internal_user_ids": people, "reason": "by JSON"}, headers=forged)
        assert merged.status_code == 200
        request = merge_pb2.UndoMergeRequest(merge_id=merged.json()["merge_id"], reason="natively")
        IdentityServiceStub(channel).UndoMerge(request, timeout=20, metadata=tuple(forged.items()))
        actions = client.get("/admin/actions", params={"actor": "desk"}, headers=forged).json()["actions"]
        assert [(action["kind"], action["actor"], action["reason"]) for action in actions] == [
            ("undo_merge", "desk", "natively"),
            ("merge_profiles", "desk", "by JSON"),
        ]
        assert client.get("/admin/actions", params={"actor": "operator"}, headers=forged).json()["actions"] == []
        assert client.get("/admin/actions").status_code == 401
        people_only = {"x-api-key": keys(system, "create", "people-only", "--scopes", "people,read,ingest")}
        wait_until(lambda: client.get("/admin/actions", headers=people_only).status_code == 403, "the key is known")


def test_the_audit_log_names_whoever_asked_for_an_erasure_and_a_repair(system: Stack, first: str) -> None:
    campaign, admin = f"camp_{secrets.token_hex(6)}", {"x-api-key": first}
    event = {"event_id": secrets.token_hex(8), "type": "click", "campaign_id": campaign, "source": "test"}
    event |= {"occurred_at": "2026-01-01T00:00:00Z", "user_id": secrets.token_hex(8)}
    with httpx.Client(base_url=system.http_url, timeout=30.0, trust_env=False, headers=admin) as client:
        person = client.post("/events", json=event).json()["results"][0]["internal_user_id"]
        erasure_id = client.delete(f"/users/{person}").json()["receipt"]["erasure_id"]
        # Something else than an event changes what is counted.
        with psycopg.connect(system.database_url("stats")) as connection:
            statement = "UPDATE rollup SET count = count + 1 WHERE campaign_id = %s"
            wait_until(lambda: connection.execute(statement, (campaign,)).rowcount > 0, "the event is in the rollups")
        minute = {"campaign_id": campaign, "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}
        assert client.post("/audit/repair", json=minute).json()["minutes"] == ["2026-01-01T00:00:00Z"]
        wait_until(
            lambda: client.get(f"/erasures/{erasure_id}").json()["receipt"]["complete"],
            "the erasure is complete",
            timeout_seconds=60,
        )
        actions = client.get("/admin/actions").json()["actions"]
    repair = next(action for action in actions if action["kind"] == "repair_campaign")
    assert (repair["actor"], repair["refs"], repair["counts"]) == (
        "first-admin",
        {"campaign_id": campaign},
        {"minutes": 1},
    )
    erased = [action for action in actions if action["refs"].get("erasure_id") == erasure_id]
    assert [(action["result"], action["actor"]) for action in erased] == [
        ("complete", "first-admin"),
        ("requested", "first-admin"),
    ]


def test_no_log_has_a_key_in_it(system: Stack, first: str) -> None:
    logs = {path.name: path.read_text() for path in system.log_directory.glob("*.log")}
    assert logs["gateway.log"]
    assert [name for name, text in logs.items() if first in text or "dmp_secret_" in text] == []
