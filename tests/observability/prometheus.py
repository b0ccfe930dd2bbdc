"""A real Prometheus with the rules of `deploy/observability`, which looks every second."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from dmp_stack.child import Child, ChildSpec
from dmp_stack.ports import reserve_port
from dmp_stack.programs import repository_root
from tests.brought import brought
from tests.conditions import wait_until

RULES: Final = repository_root() / "deploy" / "observability" / "prometheus" / "rules"


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`. Fails where `make test` has not brought it."""
    return brought(name)


class Prometheus:
    """Started at once; `close` ends it. targets: by job, where its metrics are (`host:port`)."""

    def __init__(self, directory: Path, targets: Mapping[str, str]) -> None:
        document = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [f"{RULES}/*.yml"],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
            ],
        }
        config = directory / "prometheus.yml"
        config.write_text(yaml.safe_dump(document))
        self._port = reserve_port("127.0.0.1")
        address = f"127.0.0.1:{self._port.port}"
        self._client = httpx.Client(base_url=f"http://{address}", timeout=10.0, trust_env=False)
        self._child = Child(
            ChildSpec(
                name="prometheus",
                argv=(
                    program("prometheus"),
                    f"--config.file={config}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address={address}",
                    "--log.level=warn",
                ),
                environment=dict(os.environ),
                log_path=directory / "prometheus.log",
            ),
            print,
        )
        self._child.start()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now; none while Prometheus is not ready."""
        try:
            answer = self._client.get("/api/v1/query", params={"query": expression})
        except httpx.TransportError:
            return []
        if answer.status_code == 503:
            return []
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return found

    def rings(self, alert: str, **labels: str) -> bool:
        """Whether an alert's expression is true now, whether or not for long enough to tell somebody."""
        wanted = {"alertname": alert, **labels}
        selector = ",".join(f'{name}="{value}"' for name, value in wanted.items())
        return bool(self.query(f"ALERTS{{{selector}}}"))

    def wait_until_it_rings(self, alert: str, **labels: str) -> None:
        """Returns once the expression is true."""
        wait_until(lambda: self.rings(alert, **labels), f"{alert} rings", timeout_seconds=60)

    def wait_until_it_is_silent(self, alert: str, **labels: str) -> None:
        """Returns once the expression is not true any more."""
        wait_until(lambda: not self.rings(alert, **labels), f"{alert} is silent", timeout_seconds=90)

    def close(self) -> None:
        """Ends it."""
        self._client.close()
        self._child.close(10)
        self._port.close()
