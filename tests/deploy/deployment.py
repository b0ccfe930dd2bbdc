"""What the files that deploy the system say, as data."""

from __future__ import annotations

import contextlib
import importlib
import re
from pathlib import Path
from typing import Any, Final
from unittest import mock

import yaml

from dmp_chassis.settings import REQUIRED, EnvReader, SettingsError

ROOT: Final = Path(__file__).resolve().parents[2]
CONTEXTS: Final = ("ingest", "identity", "stats")

_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_PINNED: Final = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
_HASH: Final = re.compile(r"--hash=(\S+)")


def compose() -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml by name, before interpolation."""
    services: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return services


def interpolated_variables() -> dict[str, str]:
    """The variables that docker-compose.yml takes from outside, with their defaults."""
    return dict(_VARIABLE.findall((ROOT / "docker-compose.yml").read_text()))


def documented_variables() -> dict[str, str]:
    """The variables of .env.example with the values that it gives, also of those that it has as a comment."""
    lines = re.findall(r"^#?((?:DMP|OTEL)_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    return dict(lines)


def settings(context: str) -> dict[str, str | None]:
    """The variables that a service reads, with their defaults as text; None for those that it requires."""
    defaults: dict[str, str | None] = {}

    class RecordingReader(EnvReader):
        def _default(self, name: str, default: Any, placeholder: Any) -> Any:  # noqa: ANN401 -- as in EnvReader
            defaults[name] = None if default is REQUIRED else str(default)
            return super()._default(name, default, placeholder)

    module = importlib.import_module(f"dmp_{context}.settings")
    with mock.patch.object(module, "EnvReader", RecordingReader), contextlib.suppress(SettingsError):
        module.read_settings({})
    return defaults


def dockerfile(context: str) -> list[tuple[str, str]]:
    """The instructions of the Dockerfile of a service or another part of the system, as pairs of name and arguments."""
    others = {
        "gateway": "gateway",
        "keys": "deploy/keys",
        "certificates": "deploy/certificates",
        "canary": "deploy/canary",
    }
    folder = ROOT / others.get(context, f"services/{context}")
    text = re.sub(r"^\s*#.*\n", "", (folder / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (name, arguments.strip()) for name, _, arguments in (line.partition(" ") for line in text.splitlines() if line)
    ]


def final_stage(context: str) -> dict[str, str]:
    """The instructions of the stage that becomes the image; of several with one name, the last."""
    stage: dict[str, str] = {}
    for name, arguments in dockerfile(context):
        stage = {name: arguments} if name == "FROM" else {**stage, name: arguments}
    return stage


def locked(path: str) -> dict[str, tuple[str, frozenset[str]]]:
    """The packages of a lock file, with version and hashes."""
    entries = re.split(r"\n(?=\S)", (ROOT / path).read_text().strip())
    return {
        match[1]: (match[2], frozenset(_HASH.findall(entry)))
        for entry in entries
        if (match := _PINNED.match(entry)) is not None
    }
