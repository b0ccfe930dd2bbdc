"""The gateway's certificates: the one that callers meet, and the one that the services meet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from dmp_stack.errors import StackError
from dmp_stack.programs import repository_root

_SERVICES: Final = "gateway"
"""The name of the certificate for the services, in the gateway file and in a directory of certificates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicCertificate:
    """What the gateway shows to callers: a certificate with those between it and a known authority, and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayCertificates:
    """All certificates of one gateway.

    public: None speaks plain HTTP to callers. inside: a directory as `deploy/certificates` makes it; None speaks
    without TLS to the services.
    """

    public: PublicCertificate | None = None
    inside: Path | None = None

    def apply(self, resources: dict[str, Any], run_directory: Path) -> dict[str, Any]:
        """Leaves in the static resources of the gateway file what there are certificates for; returns the listener.

        Writes, into the run directory, the files that name the certificates, which Envoy reads again when they change.
        """
        plain, with_tls, *others = resources["listeners"]
        if others or (plain["name"], with_tls["name"]) != ("public", "public_tls"):
            raise StackError("gateway/envoy.yaml has other listeners than the embedded stack knows")
        listener: dict[str, Any] = plain if self.public is None else {**with_tls, "name": plain["name"]}
        resources["listeners"] = [listener]
        if self.inside is None:
            for cluster in resources["clusters"]:
                del cluster["transport_socket"]
        for name in ("public", "gateway", "authority"):
            _rename(resources, f"/etc/envoy/sds/{name}.yaml", str(run_directory / f"{name}.json"))
        if self.public is not None:
            _write(run_directory, "public", {"cert.pem": self.public.certificate, "key.pem": self.public.key})
        if self.inside is not None:
            folder = self.inside / _SERVICES
            for name in ("gateway", "authority"):
                _write(run_directory, name, {file: folder / file for file in ("cert.pem", "key.pem", "ca.pem")})
        return listener


def _write(run_directory: Path, name: str, files: dict[str, Path]) -> None:
    """What the gateway's own file of this name says, about the files of this machine."""
    secrets = yaml.safe_load((repository_root() / "gateway" / "sds" / f"{name}.yaml").read_text())
    (secret,) = secrets["resources"]
    for kind in {"tls_certificate", "validation_context"} & set(secret):
        sources = secret[kind]
        watched = sources.pop("watched_directory")
        for source in sources.values():
            source["filename"] = str(files[Path(source["filename"]).name].absolute())
            watched["path"] = str(Path(source["filename"]).parent)
        sources["watched_directory"] = watched
    (run_directory / f"{name}.json").write_text(json.dumps(secrets))


def _rename(value: object, old: str, new: str) -> None:
    """Puts one text in the place of another, wherever it stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        if item == old:
            value[key] = new  # type: ignore[index]  # a dict or a list
        else:
            _rename(item, old, new)
