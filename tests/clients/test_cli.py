"""`dmp` as a person uses it, in pipes and in a terminal, against the real gateway."""

from __future__ import annotations

import json
import secrets
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from dmp_client import DmpClient
from tests.clients.interposed import Interposed, Said
from tests.clients.terminal import Shell
from tests.conditions import wait_until

Make = Callable[..., DmpClient]


@pytest.fixture
def two_people(make_client: Make, gateway_url: str) -> tuple[str, str, str]:
    """Two people by mail, who share a browser: a mark, and their ids."""
    mark = secrets.token_hex(5)
    client = make_client(gateway_url)
    for name in ("one", "two"):
        client.track(
            "page_view", event_id=f"{mark}-{name}", identifiers={"email": f"{name}@{mark}.example", "browser_id": mark}
        )
    assert client.flush(20)
    ids = [client.match("email", f"{name}@{mark}.example").internal_user_id for name in ("one", "two")]
    return mark, ids[0], ids[1]


def test_from_match_to_merge_to_undo(shell: Shell, two_people: tuple[str, str, str]) -> None:
    mark, one, two = two_people
    mail = f"email:ONE@{mark}.example"
    matched = shell.run("match", mail).stdout
    assert matched == f"{one}\n  strong email, compared as one@{mark}.example\n"
    person = shell.run("user", mail).stdout.splitlines()
    assert person[:3] == [one, f"  emails: one@{mark}.example", f"  browsers: {mark}"]
    assert person[3] == f"  may be {two}: shares browser_id {mark}"
    assert person[5].split() == ["AT", "TYPE", "SOURCE", "EVENT"]
    assert person[6].split()[1:] == ["page_view", "test", f"{mark}-one"]
    apart = shell.run("explain", mail, two).stdout
    assert apart.startswith("not one person: ")
    assert "weak_only" in apart
    merged = shell.run("merge", mail, f"email:two@{mark}.example", "--reason", "one desk").stdout.splitlines()
    assert merged[0] == f"{one} answers for {two}"
    merge_id = merged[1].removeprefix("merge ")
    chain = shell.run("explain", f"email:one@{mark}.example", f"email:two@{mark}.example").stdout.splitlines()
    assert chain[0].endswith("are one person")
    assert f"└── email:one@{mark}.example" in chain[1]
    assert any("one desk" in line for line in chain)
    assert merge_id in shell.run("history", two).stdout
    assert "nothing to merge" in shell.run("merge", one, two).stdout
    undone = shell.run("undo", merge_id, "--reason", "two desks").stdout
    assert undone.startswith(f"undone: {one} and {two} are apart again\nkept apart by ")
    assert shell.run("merge", one, two, expect=4).stderr.startswith("dmp: ")
    assert shell.run("match", f"email:two@{mark}.example", "--json").stdout.startswith(f'{{"internal_user_id":"{two}"')


def test_json_may_stand_before_or_after_the_command(shell: Shell, two_people: tuple[str, str, str]) -> None:
    _, one, _ = two_people
    before, after = shell.run("--json", "user", one), shell.run("user", one, "--json")
    assert before.stdout == after.stdout
    assert json.loads(after.stdout)["internal_user_id"] == one
    assert shell.run("--url", "http://127.0.0.1:1", "--url", shell.url, "user", one).returncode == 0
    assert shell.run("--url", "http://127.0.0.1:1", "user", one, "--url", shell.url).returncode == 0


def test_what_goes_wrong_has_an_exit_code_and_says_what_to_do(shell: Shell, between: Interposed) -> None:
    assert "no profile" in shell.run("match", "email:nobody@nowhere.example", expect=3).stderr
    assert "TYPE:VALUE" in shell.run("match", expect=2).stderr
    assert "Use its type and its value" in shell.run("match", "somebody", expect=2).stderr
    refused = shell.run("stats", "c", "--from", "2026-02-10T25:00:00Z", expect=4).stderr
    assert refused.count("from must be") == 1
    assert "7d" in shell.run("stats", "c", "--from", "yesterday", expect=2).stderr
    away = shell.run("health", "--url", "http://127.0.0.1:1", expect=5).stderr
    assert "Is DMP running at http://127.0.0.1:1?" in away
    between.behaviour = lambda _: Said(status=401, body=b'{"error":{"status":"UNAUTHENTICATED","message":"no key"}}')
    assert "DMP_API_KEY" in shell.run("health", "--url", between.url, expect=6).stderr
    between.behaviour = lambda _: Said(status=200, body=b"<html>a login page</html>")
    assert "is something else at this address?" in shell.run("health", "--url", between.url, expect=5).stderr
    assert shell.run("undo", "01a20333-7b56-7ae1-8de8-070b044a4fea", "-r", "x", expect=3).stdout == ""


def test_settings_come_from_flag_environment_and_file(shell: Shell) -> None:
    assert "flag" in shell.run("config", "url", "--url", shell.url).stdout
    assert shell.run("config", "url", DMP_URL=shell.url).stdout.split()[-1] == "DMP_URL"
    shell.run("config", "url", shell.url)
    shell.run("config", "api_key", "a-key-that-nobody-sees")
    file = shell.home / ".config" / "dmp" / "config.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown = shell.run("config", DMP_URL="").stdout
    assert shell.url in shown
    assert str(file) in shown
    assert "a-key-that-nobody-sees" not in shown
    assert shell.run("health", DMP_URL="").stdout == "healthy\n"
    shell.run("config", "url", "--unset")
    assert json.loads(shell.run("config", "url", "--json", DMP_URL="").stdout)["url"]["from"] == "default"
    assert "must" not in shell.run("config", "url", "ftp://x", expect=2).stderr
    file.write_text("colour = 1\n")
    assert "There are url" in shell.run("health", expect=2).stderr
    assert "no configuration file" in shell.run("health", "--config", "gone.toml", expect=2).stderr
    shell.run("config", "url", shell.url, "--config", "own.toml")
    assert shell.run("health", "--config", "own.toml", DMP_URL="").stdout == "healthy\n"


def test_counts_as_table_csv_json_and_plot(shell: Shell, make_client: Make, gateway_url: str, campaign: str) -> None:
    client = make_client(gateway_url)
    at = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)
    for minute, kinds in enumerate((["impression"] * 4, [], ["click", "impression"])):
        for kind in kinds:
            client.track(kind, campaign_id=campaign, occurred_at=at + timedelta(minutes=minute))
    assert client.flush(20)
    wait_until(lambda: shell.run("stats", campaign).stdout.count("\n") == 3, "both minutes are counted")
    first, third = ((at + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z") for minute in (0, 2))
    table = shell.run("stats", campaign)
    assert [line.split() for line in table.stdout.splitlines()] == [
        ["TS", "IMPRESSIONS", "CLICKS", "EVENTS"],
        [first, "4", "0", "4"],
        [third, "1", "1", "2"],
    ]
    assert table.stderr == "in all: 5 impressions, 1 clicks, 6 events\n"
    assert shell.run("stats", campaign, "--quiet").stderr == ""
    as_csv = shell.run("stats", campaign, "--csv", "--group", "type", "--type", "click").stdout
    assert as_csv == f"ts,type,impressions,clicks,events\n{third},click,0,1,1\n"
    assert len(json.loads(shell.run("stats", campaign, "--json").stdout)["series"]) == 2
    plot = shell.run("stats", campaign, "--plot", "--from", first, "--to", third).stdout.splitlines()
    assert [line.split()[:2] for line in plot] == [[first, "4"], [plot[1].split()[0], "0"], [third, "2"]]
    assert plot[0].count("█") // 2 == plot[2].count("█") > 10
    assert "exclude each other" in shell.run("stats", campaign, "--plot", "--csv", expect=2).stderr
    listed = shell.run("campaigns").stdout
    assert any(line.split()[:4] == [campaign, "5", "1", "6"] for line in listed.splitlines())
    assert shell.run("audit", "--campaign", campaign).stdout.startswith("clean: 6 events")
    assert "needs --campaign" in shell.run("audit", "--repair", expect=2).stderr


def test_an_audit_that_differs_is_exit_code_1(shell: Shell, between: Interposed) -> None:
    between.behaviour = lambda _: Said(
        status=200, body=b'{"clean":false,"differences":[{"campaign_id":"c","type":"click","logged":2,"counted":1}]}'
    )
    audit = shell.run("audit", "--url", between.url, expect=1)
    assert audit.stdout.splitlines()[0].startswith("different: ")
    assert audit.stdout.splitlines()[2].split() == ["c", "click", "2", "1"]


def test_the_reference_table(shell: Shell) -> None:
    (shell.home / "users.json").write_text('{"u_1": {"plan": "pro"}, "u_2": {"plan": "free"}}')
    assert shell.run("reference", "put", "users.json").stdout.endswith(": 2 users\n")
    (shell.home / "users.csv").write_text("user_id,plan,region\nu_1,max,\nu_3,pro,eu\n")
    assert shell.run("reference", "patch", "users.csv", "--json").returncode == 0
    assert [line.split() for line in shell.run("reference", "get", "u_3").stdout.splitlines()[1:]] == [
        ["plan", "pro"],
        ["region", "eu"],
    ]
    assert json.loads(shell.run("--json", "reference", "get", "u_1").stdout)["attributes"] == {"plan": "max"}
    assert " 3 users" in shell.run("reference", "get").stdout
    assert shell.run("reference", "get", "u_4", expect=3).stdout == ""
    old = shell.run("reference", "put", "users.json", "--ts", "2020-01-01T00:00:00Z", expect=4)
    assert "newer" in old.stderr
    (shell.home / "bad.csv").write_text("plan\npro\n")
    assert "line 2 has no user_id" in shell.run("reference", "put", "bad.csv", expect=2).stderr
    assert "is not a JSON object" in shell.run("reference", "put", "-", stdin=b"[]", expect=2).stderr


def test_erasing_asks_first(shell: Shell, two_people: tuple[str, str, str]) -> None:
    mark, one, _ = two_people
    whom = f"email:one@{mark}.example"
    assert shell.run("erase", whom, "--dry-run").stdout.startswith(f"would erase {one}\n  identifiers 2, ")
    assert "say --yes" in shell.run("erase", whom, expect=2).stderr
    refused = shell.terminal("erase", whom)
    assert f"would erase {one}" in refused.wait_for("to go on:")
    refused.type("yes\r")
    assert refused.end() == 2
    assert "nothing was erased" in refused.text
    assert shell.run("match", whom).returncode == 0
    done = shell.terminal("erase", whom, "--wait", "20")
    done.wait_for("to go on:")
    done.type(f"{whom}\r")
    assert done.end() == 0
    assert f"erased {one}" in done.text
    shell.run("match", whom, expect=3)


def test_evidence_for_review(shell: Shell, make_client: Make, gateway_url: str) -> None:
    client = make_client(gateway_url)
    client.track("page_view", identifiers={"email": "test@example.com", "browser_id": secrets.token_hex(6)})
    assert client.flush(20)
    wait_until(lambda: "blocked" in shell.run("review").stdout, "it is listed")
    row = shell.run("review", "--rule", "blocked", "--limit", "1").stdout.splitlines()[1]
    assert "blocked  email       test@example.com" in row
    assert json.loads(shell.run("review", "--json", "--limit", "1").stdout)["rule"]
    assert "rule" in shell.run("review", "--rule", "nothing", expect=4).stderr


def test_what_was_decided_and_by_whom(shell: Shell, two_people: tuple[str, str, str]) -> None:
    mark, one, other = two_people
    shell.run("merge", one, other, "--reason", f"desk {mark}")
    table = shell.run("actions", "--from", "10m", "--kind", "merge_profiles", "--limit", "20").stdout.splitlines()
    assert table[0].lower().split() == ["when", "actor", "what", "result", "people", "details", "reason"]
    (row,) = [line for line in table if f"desk {mark}" in line]
    assert "-      merge_profiles  done" in row
    assert one in row
    assert other in row
    assert "merge_id=" in row
    (told,) = [
        action
        for line in shell.run("actions", "--json", "--limit", "20").stdout.splitlines()
        if (action := json.loads(line))["reason"] == f"desk {mark}"
    ]
    assert told["internal_user_ids"] == [one, other]
    assert "kind" in shell.run("actions", "--kind", "nothing", expect=4).stderr


def test_load_is_bounded_and_measured(shell: Shell) -> None:
    mark = f"l{secrets.token_hex(4)}"
    loaded = shell.run("load", "--rate", "300", "--seconds", "2", "--mark", mark, "--json")
    figures = json.loads(loaded.stdout)
    assert figures["events"] == 600
    assert figures["accepted"] + figures["duplicate"] == 600
    assert figures["duplicate"] > 0
    assert mark in shell.run("campaigns").stdout
    assert "another machine" in shell.run("load", "--url", "http://dmp.example", expect=2).stderr
    assert "more than a million" in shell.run("load", "--rate", "20000", "--seconds", "60", expect=2).stderr


def test_live_in_a_pipe(shell: Shell) -> None:
    assert shell.run("live", "--seconds", "2").stdout.count(" accepted, ") == 2
    snapshots = [json.loads(line) for line in shell.run("live", "--seconds", "1", "--json").stdout.splitlines()]
    assert all("events_per_sec" in snapshot for snapshot in snapshots)


def test_live_on_the_full_screen(shell: Shell, make_client: Make, gateway_url: str, campaign: str) -> None:
    client = make_client(gateway_url)
    for number in range(60):
        client.track("click", campaign_id=campaign, user_id=f"u_{number}")
    assert client.flush(20)
    terminal = shell.terminal("live", rows=28, columns=100)
    terminal.wait_for(campaign)
    screen = terminal.wait_for("q Quit")
    for text in ("events a second", "users in a minute", "accepted", "ctr"):
        assert text in screen, screen
    terminal.type("p")
    terminal.wait_for("paused, p goes on")
    terminal.type("q")
    assert terminal.end() == 0


def test_colours_only_where_they_are_wanted(shell: Shell, two_people: tuple[str, str, str]) -> None:
    _, one, _ = two_people
    assert "\x1b[" not in shell.run("user", one).stdout
    coloured = shell.terminal("user", one)
    assert coloured.end() == 0
    assert b"\x1b[1m" in coloured.bytes
    for plain in (shell.terminal("user", one, NO_COLOR="1"), shell.terminal("user", one, "--no-color")):
        assert plain.end() == 0
        assert b"\x1b[3" not in plain.bytes
    interrupted = shell.terminal("live", "--lines")
    interrupted.wait_for("accepted")
    interrupted.type("\x03")
    assert interrupted.end() == 130


def test_a_reader_that_has_enough_is_no_error(shell: Shell) -> None:
    running = shell.start("live", "--json")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    assert running.wait(20) == 0
    assert running.stderr.read() == b""
    running.stderr.close()


def test_values_of_strangers_do_not_change_the_terminal(shell: Shell, between: Interposed) -> None:
    body = {"internal_user_id": "user_1", "identifiers": {"emails": ["\x1b[2Ja@b.com"]}}
    between.behaviour = lambda _: Said(status=200, body=json.dumps(body).encode())
    assert "\\x1b[2Ja@b.com" in shell.run("user", "user_1", "--url", between.url).stdout


def test_shells_can_complete(shell: Shell) -> None:
    first = shell.run(_DMP_COMPLETE="complete_bash", COMP_WORDS="dmp us", COMP_CWORD="1")
    assert first.stdout.split() == ["user"]
    second = shell.run(_DMP_COMPLETE="complete_bash", COMP_WORDS="dmp stats --pl", COMP_CWORD="2")
    assert second.stdout.split() == ["--plot"]


def test_help_names_exit_codes_and_every_command(shell: Shell) -> None:
    shown = shell.run("--help").stdout
    for word in ("Exit codes", "send", "erase", "live", "reference", "--json"):
        assert word in shown
    assert shell.run("--version").stdout.strip()
