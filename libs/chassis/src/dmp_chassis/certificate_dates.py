"""Until when certificates last, read from their PEM text, and shown as a metric. Python's `ssl` tells it of the other
side's certificate only."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from dmp_chassis.certificates import Certificates
from dmp_chassis.metrics import Metrics, gauge

_OWN: Final = "own"
_AUTHORITY: Final = "authority"
CERTIFICATE_REMAINING: Final = gauge(
    "dmp_certificate_remaining_seconds",
    "How long it is until the first certificate of a file ends; below 0 it has ended. Not shown without certificates.",
    unit="seconds",
    labels={"certificate": (_OWN, _AUTHORITY)},
)
OF_CERTIFICATES: Final = (CERTIFICATE_REMAINING,)

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_LONG: Final = 0x80
_VERSION: Final = 0xA0
_TIMES: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}


def watch_certificates(metrics: Metrics, certificates: Certificates) -> None:
    """Shows how long the certificates of a server last, those of the files of now."""

    def of_own() -> float:
        return first_end(certificates.current().certificate) - time.time()

    def of_authority() -> float:
        return first_end(certificates.current().authority) - time.time()

    metrics.watch(CERTIFICATE_REMAINING, of_own, _OWN)
    metrics.watch(CERTIFICATE_REMAINING, of_authority, _AUTHORITY)


def first_end(pem: bytes) -> float:
    """When the first certificate of a PEM text ends, in Unix seconds; NaN if one cannot be read, or none is there."""
    try:
        ends = [_end(ssl.PEM_cert_to_DER_cert(text)) for text in _PEM.findall(pem.decode("latin-1"))]
    except (ValueError, IndexError, KeyError, StopIteration):
        return float("nan")
    return min(ends, default=float("nan"))


def _end(der: bytes) -> float:
    """`notAfter` of one certificate (RFC 5280, 4.1): version, number, algorithm, issuer, then the validity."""
    ((_, certificate),) = _elements(der)
    _, signed = next(_elements(certificate))
    fields = [value for kind, value in _elements(signed) if kind != _VERSION]
    _, (kind, end) = _elements(fields[3])
    ends = datetime.strptime(end.decode("ascii"), _TIMES[kind]).replace(tzinfo=UTC)
    return ends.timestamp()


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements that stand one after another: the tag and the content of each (X.690, 8.1)."""
    at = 0
    while at < len(der):
        kind, length, at = der[at], der[at + 1], at + 2
        if length & _LONG:
            octets = length & ~_LONG
            length, at = int.from_bytes(der[at : at + octets]), at + octets
        if at + length > len(der):
            raise ValueError("cut short")
        yield kind, der[at : at + length]
        at += length
