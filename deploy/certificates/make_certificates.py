"""Makes certificates to test with, and for one machine: an authority of its own, and one for each service.

    python deploy/certificates/make_certificates.py DIRECTORY [--host dmp.example]

Writes `DIRECTORY/<name>/cert.pem`, `key.pem` and `ca.pem` for the gateway and each service, and for `public`, which the
gateway shows to callers. Run again, it renews what is in the last third of its life, or with `--renew` all; whoever
uses the files notices. Keys are for their owner alone. The authority's own key is `DIRECTORY/authority/key.pem`.

The authority is replaced in three steps, with a few seconds between them: `--authority add` has everybody believe the
new one too, `switch` renews all certificates with it, `drop` forgets the old one.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVICES: Final = ("gateway", "ingest", "identity", "stats")
PUBLIC: Final = "public"
"""What the gateway shows to callers."""

_AUTHORITY: Final = "authority"
_NEXT: Final = "authority-next"
_AUTHORITY_DAYS: Final = 3650
_CLOCKS_DIFFER: Final = timedelta(minutes=5)


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_certificates(
    directory: Path,
    *,
    hosts: Sequence[str] = (),
    servers: Sequence[str] = (),
    days: float = 90,
    renew: bool = False,
    key_mode: int = 0o600,
) -> list[str]:
    """Makes what is missing, and renews what is due, or with `renew` all of it; the names of what was made.

    hosts: names and addresses by which callers reach the gateway, beside those of this machine. servers: further
    servers, such as `postgres`, by the name that their clients use. days: how long the certificates last. key_mode: who
    may read the keys.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _read(directory / _AUTHORITY) or _new_authority(directory / _AUTHORITY)
    believed = (directory / _AUTHORITY / "ca.pem").read_bytes()
    made = []
    for name in (*SERVICES, PUBLIC, *servers):
        folder = directory / name
        if renew or _is_due(folder):
            _store(folder, _issue(name, authority, _names(name, hosts), timedelta(days=days)), key_mode)
            made.append(name)
        if _bytes(folder / "ca.pem") != believed:
            _write(folder / "ca.pem", believed, mode=0o644)
    return made


def replace_authority(directory: Path, step: str) -> None:
    """One step of three: `add`, `switch`, `drop`. After each of them, make_certificates tells the services."""
    current, following = directory / _AUTHORITY, directory / _NEXT
    if step == "add":
        fresh = _read(following) or _new_authority(following)
        both = _bytes(current / "cert.pem") + fresh.certificate.public_bytes(serialization.Encoding.PEM)
        _write(current / "ca.pem", both, mode=0o644)
    elif step == "switch":
        for name in ("key.pem", "cert.pem"):
            (following / name).replace(current / name)
    else:
        _write(current / "ca.pem", _bytes(current / "cert.pem"), mode=0o644)


def _names(name: str, hosts: Sequence[str]) -> list[x509.GeneralName]:
    if name in SERVICES:
        return [x509.DNSName(name), x509.UniformResourceIdentifier(f"spiffe://dmp/{name}")]
    texts = ["localhost", "127.0.0.1", "::1", *hosts] if name == PUBLIC else [name, "localhost", "127.0.0.1"]
    return [_host(text) for text in texts]


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _new_authority(folder: Path) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # Two that follow each other must have two names: an issuer is looked up by its name.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"DMP test authority {x509.random_serial_number():x}")])
    builder = _builder(name, name, key.public_key(), timedelta(days=_AUTHORITY_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = dict.fromkeys(_USAGES, False) | {"key_cert_sign": True, "crl_sign": True}
    certificate = builder.add_extension(x509.KeyUsage(**usage), critical=True).sign(key, hashes.SHA256())
    pair = Pair(certificate, key)
    _store(folder, pair, 0o600)
    _write(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    return pair


def _issue(name: str, authority: Pair, names: Sequence[x509.GeneralName], lasts: timedelta) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, authority.certificate.subject, key.public_key(), lasts)
    issuer_key = authority.key.public_key()
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    usage = dict.fromkeys(_USAGES, False) | {"digital_signature": True}
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Pair(certificate, key)


_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lasts: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _read(folder: Path) -> Pair | None:
    if not (folder / "cert.pem").exists():
        return None
    key = serialization.load_pem_private_key(_bytes(folder / "key.pem"), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{folder}/key.pem is not a key of this command")
    return Pair(x509.load_pem_x509_certificate(_bytes(folder / "cert.pem")), key)


def _is_due(folder: Path) -> bool:
    """Whether a third or less of its life is left, or there is none."""
    if not (folder / "cert.pem").exists() or not (folder / "key.pem").exists():
        return True
    certificate = x509.load_pem_x509_certificate(_bytes(folder / "cert.pem"))
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (end - datetime.now(UTC)) * 3 <= end - begin


def _store(folder: Path, pair: Pair, key_mode: int) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = pair.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(folder / "key.pem", key, mode=key_mode)
    _write(folder / "cert.pem", pair.certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """Whoever watches the folder sees a file that moves in, whole."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    fresh.replace(path)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    parser.add_argument("--host", action="append", default=[], help="a name or address of the gateway; may come again")
    parser.add_argument("--server", action="append", default=[], help="a further server, such as postgres")
    parser.add_argument("--days", type=float, default=90, help="how long the certificates last (90)")
    parser.add_argument("--renew", action="store_true", help="renew all of them")
    parser.add_argument("--authority", choices=("add", "switch", "drop"), help="a step of replacing the authority")
    parser.add_argument("--for-group", action="store_true", help="let the group of this process read the keys, too")
    parser.add_argument("--every", type=float, metavar="HOURS", help="look again and again whether one is due")
    given = parser.parse_args()
    renew = given.renew or given.authority == "switch"
    if given.authority is not None:
        replace_authority(given.directory, given.authority)
    while True:
        made = make_certificates(
            given.directory,
            hosts=given.host,
            servers=given.server,
            days=given.days,
            renew=renew,
            key_mode=0o640 if given.for_group else 0o600,
        )
        print(f"made: {', '.join(made) or 'nothing, all of them last'}", flush=True)
        if given.every is None:
            return
        time.sleep(given.every * 3600)  # between two looks whether one is due
        renew = False


if __name__ == "__main__":
    main()
