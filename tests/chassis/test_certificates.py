"""Certificates come from files, whole sets only, and new ones count when the files change."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import IO, Any

import pytest

from deploy.certificates.make_certificates import make_certificates
from dmp_chassis.certificates import CertificateFiles, Certificates, CertificatesUnusableError
from dmp_chassis.service_settings import read_certificates
from dmp_chassis.settings import EnvReader, SettingsError


def files_of(folder: Path) -> CertificateFiles:
    return CertificateFiles(certificate=folder / "cert.pem", key=folder / "key.pem", authority=folder / "ca.pem")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    directory = tmp_path / "made"
    make_certificates(directory)
    return directory


@pytest.fixture
def certificates(made: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """Those of ingest, whose files are looked at whenever somebody asks."""
    monkeypatch.setattr("dmp_chassis.certificates._LOOKS_APART_SECONDS", 0.0)
    return Certificates(files_of(made / "ingest"))


def test_new_files_are_a_new_set_and_the_same_files_the_same_set(made: Path, certificates: Certificates) -> None:
    before = certificates.current()
    assert certificates.current() is before
    make_certificates(made, renew=True)
    after = certificates.current()
    assert after.certificate == (made / "ingest" / "cert.pem").read_bytes() != before.certificate
    assert certificates.current() is after


@pytest.mark.parametrize("broken", ["key of another", "garbage", "empty authority", "missing", "enormous"])
def test_what_is_no_set_is_not_used_and_said_once(
    broken: str, made: Path, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    before, folder = certificates.current(), made / "ingest"
    match broken:
        case "key of another":
            shutil.copy(made / "stats" / "key.pem", folder / "key.pem")
        case "garbage":
            (folder / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
        case "empty authority":
            (folder / "ca.pem").write_text("")
        case "missing":
            (folder / "cert.pem").unlink()
        case _:
            (folder / "cert.pem").write_bytes(before.certificate * 2000)
    with caplog.at_level(logging.INFO):
        assert [certificates.current() for _ in range(3)] == [before] * 3
    with pytest.raises(CertificatesUnusableError) as raised:
        files_of(folder).read()
    assert [record.message for record in caplog.records] == ["new certificates are not used"]
    assert str(folder) not in f"{raised.value}{caplog.text}"
    make_certificates(made, renew=True)
    assert certificates.current().key == (folder / "key.pem").read_bytes() != before.key


def test_files_that_change_while_they_are_read_are_read_again(
    made: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, read = certificates.current(), Path.open
    make_certificates(made, renew=True)

    def renewed_meanwhile(path: Path, mode: str) -> IO[Any]:
        monkeypatch.setattr(Path, "open", read)
        opened = path.open(mode)
        make_certificates(made, renew=True)
        return opened

    monkeypatch.setattr(Path, "open", renewed_meanwhile)
    assert certificates.current() is before
    assert certificates.current().certificate == (made / "ingest" / "cert.pem").read_bytes()


def test_a_set_shows_no_key_when_it_is_printed(certificates: Certificates) -> None:
    assert "PRIVATE" not in repr(certificates.current())


def test_a_folder_that_is_swapped_is_noticed(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an orchestrator mounts secrets: a link to a folder, and all its files change at once."""
    monkeypatch.setattr("dmp_chassis.certificates._LOOKS_APART_SECONDS", 0.0)
    mounted = tmp_path / "mounted"
    mounted.symlink_to(made / "ingest")
    certificates = Certificates(files_of(mounted))
    (tmp_path / "fresh").symlink_to(made / "stats")
    (tmp_path / "fresh").replace(mounted)
    assert certificates.current().key == (made / "stats" / "key.pem").read_bytes()


def problems(environ: dict[str, str]) -> list[str]:
    env = EnvReader(environ)
    read_certificates(env)
    try:
        env.finish()
    except SettingsError as error:
        return error.problems
    return []


def test_settings_name_all_three_files_or_none(made: Path) -> None:
    folder = made / "ingest"
    given = {f"DMP_TLS_{name}_FILE": str(folder / f"{name.lower()}.pem") for name in ("CERT", "KEY", "CA")}
    assert problems({}) == problems(given) == []
    assert problems({**given, "DMP_TLS_KEY_FILE": ""}) == ["DMP_TLS_KEY_FILE must be set, as the others are"]
    wrong = problems({**given, "DMP_TLS_KEY_FILE": str(made / "stats" / "key.pem")})
    assert len(wrong) == 1
    assert wrong[0].startswith("DMP_TLS_CERT_FILE, DMP_TLS_KEY_FILE, DMP_TLS_CA_FILE cannot be used: they do not fit")


def test_certificates_are_renewed_when_little_is_left_of_their_life_and_not_before(tmp_path: Path) -> None:
    everybody = ["gateway", "ingest", "identity", "stats", "public", "postgres"]
    assert make_certificates(tmp_path, servers=["postgres"], days=1e-9) == everybody
    assert make_certificates(tmp_path, servers=["postgres"], days=90) == everybody
    assert make_certificates(tmp_path, servers=["postgres"], days=90) == []


def test_keys_are_for_their_owner_alone(made: Path) -> None:
    keys = list(made.glob("*/key.pem"))
    assert len(keys) == 6
    assert {path.stat().st_mode & 0o777 for path in (*keys, *(key.parent for key in keys))} == {0o600, 0o700}
