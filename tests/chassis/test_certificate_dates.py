"""How long certificates last is read from their files, and shown where the metrics are."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.certificates.make_certificates import make_certificates
from dmp_chassis.certificate_dates import first_end, watch_certificates
from dmp_chassis.certificates import CertificateFiles, Certificates
from dmp_chassis.metrics import Metrics
from tests.scraping import series_of


def certificate(end: datetime, *, names: int = 1) -> bytes:
    """In PEM; with many names it is long, and so are the lengths of its elements."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"n{number}") for number in range(names)])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    "end",
    [
        datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),  # the last one that is written with two digits for the year
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(2120, 6, 1, 12, 30, tzinfo=UTC),
    ],
)
@pytest.mark.parametrize("names", [1, 200])
def test_the_end_is_the_one_that_the_certificate_says(end: datetime, names: int) -> None:
    assert first_end(certificate(end, names=names)) == end.timestamp()


def test_of_several_the_first_to_end_counts() -> None:
    ends = [datetime(2030, month, 1, tzinfo=UTC) for month in (5, 3, 9)]
    text = b"some words before\n" + b"\n".join(certificate(end) for end in ends)
    assert first_end(text) == ends[1].timestamp()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no certificate",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ],
)
def test_what_cannot_be_read_has_no_end_and_raises_nothing(text: bytes) -> None:
    assert math.isnan(first_end(text))


@pytest.mark.asyncio
async def test_own_and_authority_are_shown_and_follow_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dmp_chassis.certificates._LOOKS_APART_SECONDS", 0.0)
    make_certificates(tmp_path, days=30)
    folder = tmp_path / "ingest"
    files = CertificateFiles(certificate=folder / "cert.pem", key=folder / "key.pem", authority=folder / "ca.pem")
    metrics = Metrics()
    watch_certificates(metrics, Certificates(files))

    async def shown() -> dict[str, float]:
        series = await series_of(metrics)
        return {name: series[f"dmp_certificate_remaining_seconds certificate={name}"] for name in ("own", "authority")}

    day = timedelta(days=1).total_seconds()
    before = await shown()
    assert {name: round(seconds / day) for name, seconds in before.items()} == {"own": 30, "authority": 3650}
    make_certificates(tmp_path, days=60, renew=True)
    assert round((await shown())["own"] / day) == 60
