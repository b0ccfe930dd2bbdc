"""The keys file and its commands: what may stand in it, who may read it, and what the gateway is told."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pwd
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmp_chassis.settings import SettingsError
from dmp_stack.keys import commands, key_history
from dmp_stack.keys.api_key import MAX_KEYS, SCOPES, ApiKey, KeysError, check, digest, generate, new_id, now, problems
from dmp_stack.keys.commands import add_arguments
from dmp_stack.keys.keys_file import KeysDirectory
from dmp_stack.settings import StackSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command said, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def directory(tmp_path: Path) -> KeysDirectory:
    return KeysDirectory(path=tmp_path / "keys")


@pytest.fixture
def keys(directory: KeysDirectory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Does a command on the directory."""
    monkeypatch.delenv("DMP_OPEN_TO_ANYBODY", raising=False)

    def run(*arguments: str) -> Done:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        try:
            code = commands.run(parser.parse_args(["--directory", str(directory.path), *arguments]))
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return Done(returncode=code, stdout=said.out, stderr=said.err)

    return run


def a_key(**values: Any) -> ApiKey:  # noqa: ANN401 -- fields
    settings = {"id": new_id(), "name": "bidder", "sha256": digest(generate(False)), "scopes": ("ingest",)}
    return ApiKey(**{**settings, "created_at": now(), **values})


def test_a_key_is_shown_once_and_only_its_digest_is_kept(keys: Command, directory: KeysDirectory) -> None:
    made = keys("create", "bidder", "--scopes", "read,ingest", "--expires-in", "90d", "--requests-per-second", "50")
    assert made.returncode == 0
    secret = made.stdout.strip()
    assert re.fullmatch(r"dmp_secret_[A-Za-z0-9]{32}", secret)
    assert secret not in made.stderr
    (key,) = directory.read()
    assert (key.name, key.scopes, key.requests_per_second) == ("bidder", ("ingest", "read"), 50)
    assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert key.expires_at == key.created_at + timedelta(days=90)
    listed = keys("list").stdout
    assert "bidder" in listed
    assert "50 requests/s" in listed
    everywhere = listed + "".join(path.read_text() for path in directory.path.rglob("*") if path.is_file())
    assert key.sha256 in everywhere
    assert secret not in everywhere


@pytest.mark.parametrize("program", [["dmp_stack.keys"], ["dmp_stack", "keys"]])
def test_the_commands_are_a_program(directory: KeysDirectory, program: list[str]) -> None:
    made = subprocess.run(
        [sys.executable, "-m", *program, "--directory", str(directory.path), "create", "bidder", "--scopes", "ingest"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (made.returncode, [key.sha256 for key in directory.read()]) == (0, [digest(made.stdout.strip())])


def test_nobody_else_can_read_what_is_written(keys: Command, directory: KeysDirectory) -> None:
    keys("first")
    keys("create", "bidder", "--scopes", "ingest")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [directory.path, *directory.path.rglob("*")]}
    assert modes == {
        "keys": 0o700,
        "gateway": 0o700,
        "keys.json": 0o600,
        "lock": 0o600,
        "first-admin-key": 0o600,
        "authenticate.json": 0o600,
        "limit.json": 0o600,
    }


def test_a_public_key_only_ingests_and_has_limits_for_each_address(keys: Command, directory: KeysDirectory) -> None:
    made = keys("create", "shop", "--scopes", "ingest", "--origins", "https://shop.example,http://localhost:3000")
    assert made.stdout.startswith("dmp_public_")
    (key,) = directory.read()
    assert key.origins == ("https://shop.example", "http://localhost:3000")
    assert (key.address_requests_per_second, key.address_bytes_per_second) == (20, 262_144)
    refused = keys("create", "other", "--scopes", "ingest,read", "--origins", "https://shop.example")
    assert refused.returncode == 1
    assert "its only scope is ingest" in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "bidder", "--scopes", "write"),
        ("create", "bidder", "--scopes", ""),
        ("create", "Bidder", "--scopes", "ingest"),
        ("create", "../x", "--scopes", "ingest"),
        ("create", 'a"]=1', "--scopes", "ingest"),
        ("create", "b" * 65, "--scopes", "ingest"),
        ("create", "bidder", "--scopes", "ingest", "--origins", "*"),
        ("create", "bidder", "--scopes", "ingest", "--origins", "https://shop.example/"),
        ("create", "bidder", "--scopes", "ingest", "--origins", "shop.example"),
        ("create", "bidder", "--scopes", "ingest", "--requests-per-second", "0"),
        ("create", "bidder", "--scopes", "ingest", "--bytes-per-second", "5000000000"),
        ("create", "bidder", "--scopes", "ingest", "--address-bytes-per-second", "5"),
        ("revoke", "nobody"),
        ("rotate", "nobody"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    keys: Command, directory: KeysDirectory, arguments: tuple[str, ...]
) -> None:
    refused = keys(*arguments)
    assert refused.returncode == 1
    assert refused.stderr.startswith("keys: ")
    assert "Traceback" not in refused.stderr
    assert directory.read() == []


@pytest.mark.parametrize("duration", ["90", "d", "-1d", "1.5h", "1w", "²d", "1000000d"])
def test_a_duration_has_a_number_and_a_unit(keys: Command, duration: str) -> None:
    assert keys("create", "bidder", "--scopes", "ingest", f"--expires-in={duration}").returncode == 2


def test_rotation_keeps_the_old_key_for_a_while(keys: Command, directory: KeysDirectory) -> None:
    keys("create", "bidder", "--scopes", "ingest", "--expires-in", "90d", "--requests-per-second", "7")
    assert keys("create", "bidder", "--scopes", "ingest").returncode == 1, "a name that is in use is rotated"
    rotated = keys("rotate", "bidder", "--overlap", "2h")
    old, new = directory.read()
    assert digest(rotated.stdout.strip()) == new.sha256
    assert (new.name, new.scopes, new.requests_per_second) == (old.name, old.scopes, 7)
    assert old.expires_at is not None
    assert timedelta(hours=1) < old.expires_at - now() <= timedelta(hours=2)
    assert new.expires_at is not None
    assert timedelta(days=89) < new.expires_at - now() <= timedelta(days=90)
    keys("rotate", "bidder", "--overlap", "0s")
    assert [key.usable(now() + timedelta(seconds=1)) for key in directory.read()] == [False, False, True]


def test_a_revoked_key_is_gone_from_the_gateway_and_stays_in_the_list(keys: Command, directory: KeysDirectory) -> None:
    keys("create", "bidder", "--scopes", "ingest")
    keys("create", "reader", "--scopes", "read")
    bidder, reader = directory.read()
    assert keys("revoke", bidder.id).stdout == f"revoked: {bidder.id}\n"
    told = (directory.gateway / "authenticate.json").read_text()
    assert bidder.sha256 not in told
    assert reader.sha256 in told
    assert "revoked" in keys("list").stdout
    assert keys("revoke", "bidder").returncode == 1
    assert keys("prune").stdout == "forgotten: 1\n"
    assert [key.name for key in directory.read()] == ["reader"]


def test_each_act_is_kept_with_the_keys_and_never_the_key(keys: Command, directory: KeysDirectory) -> None:
    secret = keys("create", "bidder", "--scopes", "ingest").stdout.strip()
    keys("rotate", "bidder", "--overlap", "1h")
    keys("revoke", "bidder")
    keys("prune")
    old, new = (one.id for one in directory.history()[:2])
    assert [(one.act, one.id) for one in directory.history()] == [
        ("created", old),
        ("created", new),
        ("expires", old),
        ("revoked", old),
        ("revoked", new),
        ("forgotten", old),
        ("forgotten", new),
    ]
    assert {one.name for one in directory.history()} == {"bidder"}
    said = keys("history").stdout.splitlines()
    assert [line.split()[2:] for line in said[1:]] == [[one.act, one.id, "bidder"] for one in directory.history()]
    assert {one.by for one in directory.history()} == {pwd.getpwuid(os.getuid()).pw_name}
    assert secret not in directory.keys_file.read_text()


def test_a_command_that_is_refused_is_no_act(keys: Command, directory: KeysDirectory) -> None:
    keys("create", "bidder", "--scopes", "ingest")
    assert keys("revoke", "nobody").returncode == 1
    assert keys("create", "operator", "--scopes", "ingest").returncode == 1
    assert [one.act for one in directory.history()] == ["created"]


def test_the_history_is_bounded_and_a_file_without_one_is_read(
    keys: Command, directory: KeysDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys("create", "bidder", "--scopes", "ingest")
    document = json.loads(directory.keys_file.read_text())
    del document["history"]
    directory.keys_file.write_text(json.dumps(document))
    assert directory.history() == []
    monkeypatch.setattr(key_history, "MOST_ENTRIES", 2)
    for name in ("a", "b", "c"):
        keys("create", name, "--scopes", "ingest")
    assert [one.name for one in directory.history()] == ["b", "c"]


def test_the_first_key_is_made_once(keys: Command, directory: KeysDirectory) -> None:
    assert str(directory.first_key) in keys("first").stdout
    secret = directory.first_key.read_text().strip()
    (key,) = directory.read()
    assert (key.sha256, key.scopes) == (digest(secret), SCOPES)
    assert keys("first").stdout == ""
    assert directory.read() == [key]


def test_nobody_is_asked_only_when_told_in_so_many_words(
    keys: Command, directory: KeysDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys("first")
    assert "local OPEN = false" in (directory.gateway / "authenticate.json").read_text()
    monkeypatch.setenv("DMP_OPEN_TO_ANYBODY", "1")
    assert "nobody is asked" in keys("first").stdout
    assert "local OPEN = true" in (directory.gateway / "authenticate.json").read_text()
    monkeypatch.setenv("DMP_OPEN_TO_ANYBODY", "0")
    keys("first")
    assert "local OPEN = false" in (directory.gateway / "authenticate.json").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"keys": 1}',
        '{"keys": [{}]}',
        '{"keys": [{"id": "k"}]}',
        '{"keys": [{"id": 1, "name": "a", "sha256": "b", "scopes": [], "created_at": "2026-01-01T00:00:00+00:00"}]}',
        '{"keys": [{"id": "1", "name": "a", "sha256": "b", "scopes": [], "created_at": "2026-01-01T00:00:00"}]}',
        "[" * 100_000,
        "\x00\xff",
    ],
)
def test_a_broken_file_is_left_alone_and_so_is_the_gateway(keys: Command, directory: KeysDirectory, text: str) -> None:
    keys("create", "bidder", "--scopes", "ingest")
    told = (directory.gateway / "authenticate.json").read_bytes()
    directory.keys_file.write_text(text)
    for arguments in (("list",), ("create", "reader", "--scopes", "read"), ("revoke", "bidder"), ("first",)):
        refused = keys(*arguments)
        assert refused.returncode == 1
        assert "keys.json" in refused.stderr or "bidder" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert directory.keys_file.read_text() == text
    assert (directory.gateway / "authenticate.json").read_bytes() == told


def test_limits_are_told_again_only_when_they_change(directory: KeysDirectory) -> None:
    limited = a_key(requests_per_second=5)
    directory.change(lambda _: ([limited], None))
    before = (directory.gateway / "limit.json").stat().st_ino
    directory.change(lambda found: ([*found, a_key(name="reader")], None))
    assert (directory.gateway / "limit.json").stat().st_ino == before
    directory.change(lambda _: ([replace(limited, requests_per_second=6)], None))
    assert (directory.gateway / "limit.json").stat().st_ino != before


def test_changes_at_one_time_lose_nothing(directory: KeysDirectory) -> None:
    added = [a_key(name=f"k{number}") for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: directory.change(lambda found: ([*found, key], None)), added))
    assert {key.id for key in directory.read()} == {key.id for key in added}


def test_there_is_a_most(directory: KeysDirectory) -> None:
    with pytest.raises(KeysError, match="at most 1000 keys"):
        check([a_key() for _ in range(MAX_KEYS + 1)])
    with pytest.raises(KeysError, match="the same key"):
        check([twice := a_key(), twice])
    assert directory.read() == []


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_nothing_that_passes_has_a_meaning_in_lua(name: str, origin: str, sha256: str) -> None:
    key = a_key(name=name, origins=(origin,), sha256=sha256)
    if not problems(key):
        assert not set('"\\\n\r\0[]') & set(name + origin + sha256)


def test_a_file_of_the_keys_is_what_was_written(directory: KeysDirectory) -> None:
    written = [
        a_key(expires_at=now(), revoked_at=now(), requests_per_second=1, bytes_per_second=2),
        a_key(origins=("https://a.example",), address_requests_per_second=3, address_bytes_per_second=4),
    ]
    directory.change(lambda _: (written, None))
    assert directory.read() == written
    assert json.loads(directory.keys_file.read_text())["version"] == 1


# -- where the stack may listen


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "dmp.example", "[::]", "127.0.0.1.example"])  # noqa: S104
def test_a_stack_without_keys_listens_on_this_machine_only(host: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        StackSettings.from_env({"DMP_HTTP_HOST": host})
    (problem,) = refusal.value.problems
    assert "DMP_API_KEYS=1" in problem
    assert "DMP_OPEN_TO_ANYBODY=1" in problem
    assert StackSettings.from_env({"DMP_HTTP_HOST": host, "DMP_API_KEYS": "1"}).http_host == host
    assert StackSettings.from_env({"DMP_HTTP_HOST": host, "DMP_OPEN_TO_ANYBODY": "1"}).http_host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "::1", "[::1]"])
def test_on_this_machine_nobody_needs_a_key(host: str) -> None:
    settings = StackSettings.from_env({"DMP_HTTP_HOST": host})
    assert (settings.http_host, settings.api_keys) == (host, False)
