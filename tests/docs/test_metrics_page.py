"""`docs/metrics.md` has every metric that a service shows, and their names follow Prometheus' rules."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest

from dmp_chassis.metrics import Metric
from tests.docs.metrics_table import PAGE, SECTIONS, page
from tests.scraping import series_of

DECLARED = [metric for _, _, metrics in SECTIONS for metric in metrics]
MODULES = (
    "dmp_chassis.call_metrics", "dmp_chassis.certificate_dates", "dmp_chassis.metrics", "dmp_chassis.store_metrics",
    "dmp_identity.metrics", "dmp_ingest.metrics", "dmp_stack.canary.metrics", "dmp_stats.metrics",
)  # fmt: skip
ENVIRONMENT = {
    "DMP_REDIS_URL": "unix:///nowhere",
    "DMP_IDENTITY_ADDRESS": "localhost:1",
    "DMP_STATS_ADDRESS": "localhost:2",
    "DMP_PLAIN_INSIDE": "1",
}
PERSONAL = {"campaign", "campaign_id", "user", "user_id", "email", "source", "key", "event_id", "type", "path"}


def test_the_page_is_that_of_the_code() -> None:
    assert PAGE.read_text() == page(), "run `make metrics`"


def test_every_metric_that_a_module_declares_is_on_the_page() -> None:
    found: list[Any] = [value for name in MODULES for value in vars(importlib.import_module(name)).values()]
    assert {metric.name for metric in found if isinstance(metric, Metric)} == {metric.name for metric in DECLARED}


@pytest.mark.parametrize("context", ["ingest", "identity", "stats"])
async def test_a_service_shows_what_is_on_the_page_and_nothing_else(context: str) -> None:
    app = importlib.import_module(f"dmp_{context}.app")
    name = f"DMP_{context.upper()}_DATABASE_URL"
    parts = app.assemble(app.SERVICE.read_settings({**ENVIRONMENT, name: "postgresql://nobody@localhost:1/none"}))
    try:
        shown = {series.partition(" ")[0] for series in await series_of(parts.metrics)}
    finally:
        for close in parts.on_close:
            await close()
    families = {re.sub(r"_(bucket|sum|count)$", "", each) for each in shown}
    assert families - {metric.name for metric in DECLARED} == set()
    assert {metric.name for metric in DECLARED if metric.name.startswith(f"dmp_{context}_")} <= families


@pytest.mark.parametrize("metric", DECLARED, ids=lambda metric: metric.name)
def test_a_name_follows_the_rules(metric: Metric) -> None:
    assert re.fullmatch(r"(dmp|rpc)_[a-z][a-z0-9_]*[a-z0-9]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert ("_seconds" in metric.name) == (metric.unit == "seconds"), "base units, named"
    assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb|percent)(_|$)", metric.name)
    assert not metric.name.endswith(("_bucket", "_sum", "_count", "_info"))
    assert metric.help.endswith(".")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert not PERSONAL & set(metric.labels)
    assert {name for name, values in metric.labels.items() if values is None} <= {"rpc_method"}, "labels list values"
