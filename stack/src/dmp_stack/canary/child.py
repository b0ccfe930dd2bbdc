"""The canary as a child of the embedded stack."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dmp_stack.child import ChildSpec

KEY_FILE: Final = "canary-key"
"""The file with the canary's API key, in the directory of the keys."""
_OF_OTHERS: Final = ("_DATABASE_URL", "_DATABASE_URL_FILE", "_DATABASE_PASSWORD", "REDIS_URL", "REDIS_URL_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryChild:
    """How to run it. url: the gateway, as this machine reaches it. metrics: `host:port` where its metrics are read.

    key_file: None where no key is asked for. certificate: what the gateway shows; None for plain HTTP.
    """

    url: str
    metrics: str
    key_file: Path | None
    certificate: Path | None
    log_directory: Path
    environment: Mapping[str, str]

    def child_spec(self) -> ChildSpec:
        """What the launcher keeps running."""
        environment = {name: value for name, value in self.environment.items() if not name.endswith(_OF_OTHERS)}
        environment |= {
            "DMP_CANARY_URL": self.url,
            "DMP_CANARY_METRICS_LISTEN": self.metrics,
            "DMP_CANARY_API_KEY": "",
            "DMP_CANARY_API_KEY_FILE": "" if self.key_file is None else str(self.key_file),
            "DMP_CANARY_CERT_FILE": "" if self.certificate is None else str(self.certificate),
        }
        return ChildSpec(
            name="canary",
            argv=(sys.executable, "-m", "dmp_stack.canary"),
            environment=environment,
            log_path=self.log_directory / "canary.log",
        )
