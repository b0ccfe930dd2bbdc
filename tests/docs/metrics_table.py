"""Makes `docs/metrics.md` from the declarations in the code: `make metrics`. A test says when it is not up to date."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dmp_chassis.call_metrics import OF_CALLS
from dmp_chassis.certificate_dates import OF_CERTIFICATES
from dmp_chassis.metrics import OF_METRICS, Metric
from dmp_chassis.store_metrics import OF_DATABASE, OF_HEALTH, OF_REDIS
from dmp_identity.metrics import OF_IDENTITY
from dmp_ingest.metrics import OF_INGEST
from dmp_stack.canary.metrics import OF_CANARY
from dmp_stats.metrics import OF_STATS

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
SECTIONS: Final[Sequence[tuple[str, str, Sequence[Metric]]]] = (
    (
        "Every service",
        "`libs/chassis/src/dmp_chassis`",
        (*OF_CALLS, *OF_DATABASE, *OF_REDIS, *OF_HEALTH, *OF_CERTIFICATES, *OF_METRICS),
    ),
    ("Ingest", "`services/ingest/src/dmp_ingest/metrics.py`", OF_INGEST),
    ("Identity", "`services/identity/src/dmp_identity/metrics.py`", OF_IDENTITY),
    ("Stats", "`services/stats/src/dmp_stats/metrics.py`", OF_STATS),
    ("Canary", "`stack/src/dmp_stack/canary/metrics.py`", OF_CANARY),
)
"""The title of each table, where its metrics are declared, and the metrics."""
_HEAD: Final = """# Metrics

Made from the code by `make metrics`; do not edit. [operations.md](operations.md) says where they are read.

Each replica shows its own figures. A histogram has the series `…_bucket`, `…_sum` and `…_count`.
Labels have declared values only: no person, key, campaign or anything else that a caller sends is one.
Figures that only a database knows are asked for at most every five seconds, and are `NaN` while it does not answer.
"""


def page() -> str:
    """The whole page."""
    return _HEAD + "".join(_section(*section) for section in SECTIONS)


def _section(title: str, place: str, metrics: Sequence[Metric]) -> str:
    rows = "".join(_row(metric) for metric in metrics)
    head = "| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n"
    return f"\n## {title}\n\nDeclared in {place}.\n\n{head}{rows}"


def _row(metric: Metric) -> str:
    labels = "; ".join(_label(name, values) for name, values in metric.labels.items())
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} |\n"


def _label(name: str, values: Sequence[str] | None) -> str:
    if values is None:
        return f"`{name}`: chosen by the code"
    return f"`{name}`: " + ", ".join(values)


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
