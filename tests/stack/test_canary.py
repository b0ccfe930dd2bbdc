"""The canary: its event goes through the gateway, with a key and TLS, and shows everywhere but in other statistics."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from deploy.certificates.make_certificates import make_certificates
from dmp_chassis.metrics import Metrics
from dmp_chassis.settings import SettingsError
from dmp_stack.canary.journey import Canary, next_canary, travel
from dmp_stack.canary.metrics import OF_CANARY, STATIONS
from dmp_stack.canary.run import note
from dmp_stack.canary.settings import CanarySettings, read_settings
from dmp_stack.gateway_certificates import PublicCertificate
from dmp_stack.stack import Stack
from tests.conditions import wait_until
from tests.scraping import Series, parsed, series_of

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory)
    return directory


@pytest.fixture(scope="module")
def system(new_stack: Callable[..., Stack], made: Path) -> Iterator[Stack]:
    """A system that asks for keys, over TLS, with a canary each second."""
    public = PublicCertificate(certificate=made / "public" / "cert.pem", key=made / "public" / "key.pem")
    environment = {"DMP_CANARY_EVERY_SECONDS": "1"}
    with new_stack(canary=True, api_keys=True, public_certificate=public, service_environment=environment) as running:
        yield running


def read(system: Stack) -> Series:
    return parsed(httpx.get(system.canary_metrics_url, trust_env=False).raise_for_status().content)


def test_its_way_is_timed_to_every_station_and_spoils_nothing(system: Stack, made: Path) -> None:
    def seen() -> bool:
        try:
            return read(system)["dmp_canary_journeys_total outcome=fresh"] >= 6
        except httpx.TransportError:
            return False  # it has just been started

    wait_until(seen, "six canaries were seen everywhere", timeout_seconds=60)
    found = read(system)
    assert all(found[f"dmp_canary_seen_seconds_count station={station}"] >= 6 for station in STATIONS)
    context = ssl.create_default_context(cafile=made / "public" / "ca.pem")
    key = {"authorization": f"Bearer {system.keys.first_key.read_text().strip()}"}
    with httpx.Client(base_url=system.http_url, verify=context, trust_env=False, timeout=20, headers=key) as client:
        now = datetime.now(UTC)
        hours = {"from": f"{now - timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}", "to": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        campaigns = client.get("/campaigns", params=hours).raise_for_status().json()["campaigns"]
        assert [each["campaign_id"] for each in campaigns] == ["dmp-canary"]
        minutes = client.get("/metrics", params={"window": 300}).raise_for_status().json()
        assert (minutes["events_per_sec"], minutes["unknown_users"]) == (0, 0), "the last minutes do not show it"
        people = set()
        for number in range(4):
            asked = client.get("/debug/match", params={"identifier": "user_id", "value": f"dmp-canary-{number}"})
            people |= {asked.json()["internal_user_id"]} if asked.status_code == 200 else set()
        assert 1 <= len(people) <= 4


def test_its_key_may_not_decide_and_a_restart_keeps_it(system: Stack) -> None:
    [key] = [each for each in system.keys.read() if each.name == "canary"]
    assert set(key.scopes) == {"ingest", "read", "people"}
    before = (system.keys.path / "canary-key").read_text()
    from dmp_stack.keys.commands import make_canary_key

    make_canary_key(system.keys, system.keys.path / "canary-key")
    assert (system.keys.path / "canary-key").read_text() == before
    assert [each for each in system.keys.read() if each.name == "canary"] == [key]


def test_where_nobody_answers_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmp_stack.canary.journey.LOST_SECONDS", 0.3)
    settings = read_settings({"DMP_CANARY_URL": "http://127.0.0.1:9"})
    assert travel(next_canary(NOW, window_seconds=1800), settings) == {}
    without = read_settings({"DMP_CANARY_URL": "https://127.0.0.1:9", "DMP_CANARY_CERT_FILE": "/nowhere"})
    assert travel(next_canary(NOW, window_seconds=1800), without) == {}


async def test_journeys_are_counted_by_what_became_of_them() -> None:
    metrics = Metrics(OF_CANARY)
    note(dict.fromkeys(STATIONS, 0.1), metrics)
    note({**dict.fromkeys(STATIONS, 0.1), "window": 7.0}, metrics)
    note({"accept": 0.1, "log": 0.2, "timeline": 0.2}, metrics)
    found = await series_of(metrics)
    outcomes = {name: found[f"dmp_canary_journeys_total outcome={name}"] for name in ("fresh", "late", "lost")}
    assert outcomes == {"fresh": 1, "late": 1, "lost": 1}
    failures = {station: found[f"dmp_canary_failures_total station={station}"] for station in STATIONS}
    assert failures == {"accept": 0, "log": 0, "timeline": 0, "count": 1, "window": 1}


def test_there_are_four_users_and_sixty_creatives_for_ever() -> None:
    canaries = [next_canary(NOW + second, window_seconds=1800) for second in range(3600)]
    assert {each.user for each in canaries} == {f"dmp-canary-{number}" for number in range(4)}
    assert len({each.second for each in canaries}) == 60
    assert len({each.event_id for each in canaries}) == 3600
    assert all(each.at == datetime.fromtimestamp(NOW + at - 1740, UTC) for at, each in enumerate(canaries))


def test_the_settings_are_read_and_every_problem_is_named(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("dmp_secret_x\n")
    settings = read_settings({"DMP_CANARY_API_KEY_FILE": str(tmp_path / "key")})
    assert isinstance(settings, CanarySettings)
    assert (settings.api_key, settings.every_seconds, settings.url) == ("dmp_secret_x", 10.0, "http://127.0.0.1:8080")
    wrong = {
        "DMP_CANARY_URL": "ftp://x",
        "DMP_CANARY_EVERY_SECONDS": "0",
        "DMP_CANARY_WINDOW_SECONDS": "1",
        "DMP_CANARY_API_KEY_FILE": str(tmp_path / "none"),
    }
    with pytest.raises(SettingsError) as raised:
        read_settings(wrong)
    assert {problem.split()[0] for problem in raised.value.problems} == set(wrong)


def test_an_event_says_what_it_is() -> None:
    event = Canary(event_id="e", at=datetime(2026, 2, 10, 21, 10, 7, tzinfo=UTC), user="dmp-canary-1").event("view")
    assert event == {
        "event_id": "e",
        "type": "view",
        "campaign_id": "dmp-canary",
        "creative_id": "07",
        "source": "dmp-canary",
        "user_id": "dmp-canary-1",
        "occurred_at": "2026-02-10T21:10:07Z",
    }
