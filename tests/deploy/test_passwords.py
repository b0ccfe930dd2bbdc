"""Who is given which password, and when the stores of compose speak TLS."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from deploy.passwords.make_passwords import CONTEXTS, RefusedError, make_passwords
from dmp_chassis.store_trust import proves_itself
from tests.deploy.deployment import interpolated_variables

FOLDERS = ("kept", "postgres", "valkey", *CONTEXTS, "observers")
OTHERS_REACH_IT = {"DMP_HTTP_HOST": "0.0.0.0"}  # noqa: S104  # what somebody may set


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    return tmp_path


def texts(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_passwords_are_made_once_and_differ(directory: Path) -> None:
    make_passwords(directory, {})
    first = texts(directory)
    kept = [text for name, text in first.items() if name.startswith("kept/")]
    assert len(set(kept)) == len(kept) == 8
    assert min(map(len, kept)) >= 32
    make_passwords(directory, {})
    assert texts(directory) == first
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.rglob("*") if path.is_file()} <= {0o640, 0o600}


def test_each_container_is_given_its_own_and_no_other(directory: Path) -> None:
    make_passwords(directory, {})
    found = texts(directory)
    kept = {name.partition("/")[2]: text for name, text in found.items() if name.startswith("kept/")}
    may_know = {
        "postgres": {"superuser", *CONTEXTS, "postgres-exporter"},
        "valkey": {"valkey-admin"},
        "observers": {"postgres-exporter", "valkey-exporter"},
        **{context: {context, "valkey"} for context in CONTEXTS},
    }
    for folder, names in may_know.items():
        told = "".join(text for name, text in found.items() if name.startswith(f"{folder}/"))
        assert {name for name, password in kept.items() if password in told} == names, folder
    for name in ("valkey", "valkey-admin", "valkey-exporter"):
        assert f"#{hashlib.sha256(kept[name].encode()).hexdigest()}" in found["valkey/users.conf"]


def test_a_password_that_somebody_chose_is_taken_with_every_character(directory: Path) -> None:
    chosen = "p@ss:w/o?r#d%'\" \\é"
    make_passwords(directory, {"DMP_STATS_DATABASE_PASSWORD": chosen, "DMP_VALKEY_PASSWORD": chosen})
    assert (directory / "postgres" / "stats").read_text() == chosen
    for name in ("database.url", "redis.url"):
        parts = urlsplit((directory / "stats" / name).read_text())
        assert unquote(parts.password or "") == chosen
        assert parts.hostname in {"postgres", "valkey"}
    with pytest.raises(RefusedError, match="printable"):
        make_passwords(directory, {"DMP_POSTGRES_PASSWORD": "two\nlines"})


@pytest.mark.parametrize(
    ("host", "said", "expected"),
    [
        ("", "", False),
        ("127.0.0.1", "", False),
        ("127.1.2.3", "", False),
        ("[::1]", "", False),
        ("localhost", "1", True),
        ("0.0.0.0", "", True),  # noqa: S104  # the value under test
        ("192.168.1.5", "", True),
        ("dmp.example", "", True),
        ("0.0.0.0", "0", False),  # noqa: S104  # the value under test
    ],
)
def test_stores_speak_tls_where_others_reach_the_gateway_unless_told_otherwise(
    host: str, said: str, expected: bool, directory: Path
) -> None:
    assert make_passwords(directory, {"DMP_HTTP_HOST": host, "DMP_STORES_TLS": said}) is expected
    found = texts(directory)
    assert found["postgres/tls"] == found["valkey/tls"] == ("on" if expected else "off")
    for context in CONTEXTS:
        for name in ("database.url", "redis.url"):
            assert proves_itself(found[f"{context}/{name}"]) is expected
            assert ("/certificates/ca.pem" in found[f"{context}/{name}"]) is expected
    assert found["observers/postgres.uri"].endswith("/certificates/ca.pem") is expected
    assert found["observers/valkey.url"].startswith("rediss://") is expected


def test_another_word_for_it_is_refused(directory: Path) -> None:
    with pytest.raises(RefusedError, match="DMP_STORES_TLS"):
        make_passwords(directory, {"DMP_STORES_TLS": "true"})


@pytest.mark.parametrize("name", sorted(name for name in interpolated_variables() if name.endswith("_PASSWORD")))
def test_a_password_that_everybody_can_read_is_refused_where_others_reach_the_gateway(
    name: str, directory: Path
) -> None:
    make_passwords(directory, {name: "local-old"})
    with pytest.raises(RefusedError, match=name) as refused:
        make_passwords(directory, {**OTHERS_REACH_IT, name: "local-old"})
    assert "local-old" not in str(refused.value)
    make_passwords(directory, {**OTHERS_REACH_IT, name: "mine"})
