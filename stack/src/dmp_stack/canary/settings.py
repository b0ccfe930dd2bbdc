"""What a canary can be told, and the names of its variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dmp_chassis.settings import EnvReader


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySettings:
    """One canary.

    url: the gateway. api_key: with the scopes ingest, read and people; None where none is asked for.
    certificate: the one that the gateway must show, whatever its name; None: one that this machine believes.
    every_seconds: between the starts of two journeys. window_seconds: the longest window that stats answers.
    event_type: a type that counts as neither an impression nor a click. metrics_listen: `host:port`.
    """

    url: str
    api_key: str | None
    certificate: Path | None
    every_seconds: float
    window_seconds: int
    event_type: str
    metrics_listen: str


def read_settings(environ: Mapping[str, str]) -> CanarySettings:
    """Reads every setting. Raises SettingsError with all problems at once."""
    env = EnvReader(environ)
    key, key_file = env.text("DMP_CANARY_API_KEY", ""), env.text("DMP_CANARY_API_KEY_FILE", "")
    if key and key_file:
        env.problem("DMP_CANARY_API_KEY and DMP_CANARY_API_KEY_FILE", "cannot both be set")
    elif key_file:
        try:
            key = Path(key_file).read_text().strip()
        except (OSError, ValueError):
            env.problem("DMP_CANARY_API_KEY_FILE", "names a file that cannot be read")
    certificate = env.text("DMP_CANARY_CERT_FILE", "")
    settings = CanarySettings(
        url=env.url("DMP_CANARY_URL", "http://127.0.0.1:8080", schemes=("http", "https")),
        api_key=key or None,
        certificate=Path(certificate) if certificate else None,
        every_seconds=env.seconds("DMP_CANARY_EVERY_SECONDS", 10.0, minimum=1.0, maximum=3600.0),
        window_seconds=env.integer("DMP_CANARY_WINDOW_SECONDS", 1800, minimum=120, maximum=1800),
        event_type=env.text("DMP_CANARY_EVENT_TYPE", "view"),
        metrics_listen=env.address("DMP_CANARY_METRICS_LISTEN", "127.0.0.1:50064"),
    )
    env.finish()
    return settings
