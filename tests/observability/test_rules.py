"""The rules and dashboards of `deploy/observability`: promtool tests the rules; every query names what is declared."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from dmp_chassis.metrics import Metric
from dmp_stack.programs import repository_root
from tests.docs.metrics_table import SECTIONS
from tests.observability.prometheus import RULES, program

ROOT: Final = repository_root()
FOLDER: Final = ROOT / "deploy" / "observability"
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
DECLARED: Final = {metric.name: metric for _, _, metrics in SECTIONS for metric in metrics}
OF_OTHERS: Final = {
    "up": {"job", "instance"},
    "ALERTS": {"alertname", "alertstate", "severity"},
    "node_filesystem_avail_bytes": {"instance", "mountpoint", "fstype"},
    "node_filesystem_size_bytes": {"instance", "mountpoint", "fstype"},
    "pg_database_size_bytes": {"datname"},
    "redis_memory_used_bytes": set(),
    "redis_memory_max_bytes": set(),
}
"""Metrics of Prometheus and of the exporters in docker-compose.yml, with the labels that are used."""
_OF_PROMETHEUS: Final = {"job", "instance"}
_WORDS: Final = {
    "and", "or", "unless", "on", "ignoring", "by", "without", "bool", "sum", "min", "max", "count", "rate", "increase",
    "time", "vector", "histogram_quantile",
}  # fmt: skip
_SELECTOR: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{([^}]*)\})?")
_GROUPED: Final = re.compile(r"\b(?:by|on|without|ignoring) \(([^)]*)\)")
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')


def rules() -> list[dict[str, Any]]:
    """All rules, in order."""
    groups = [group for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def dashboards() -> list[Path]:
    return sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))


def queries(path: Path) -> list[str]:
    """The queries of a dashboard."""
    panels = json.loads(path.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


RECORDED: Final = {rule["record"] for rule in rules() if "record" in rule}
ALERTS: Final = [rule for rule in rules() if "alert" in rule]
EVERY_QUERY: Final = [
    *[pytest.param(rule["expr"], id=rule.get("alert") or rule["record"]) for rule in rules()],
    *[
        pytest.param(query, id=f"{path.stem}-{number}")
        for path in dashboards()
        for number, query in enumerate(queries(path))
    ],
]


def mistakes(query: str) -> Iterator[str]:
    """What a query names that is not declared: metrics, labels, values of labels."""
    groups = {name.strip() for names in _GROUPED.findall(query) for name in names.split(",")} - {"", "le"}
    known: set[str] = set()
    for name, matchers in _SELECTOR.findall(_GROUPED.sub("", re.sub(r"\[[^\]]*\]", "", query))):
        if name in _WORDS or re.fullmatch(r"e?\d*", name):
            continue
        family = re.sub(r"_(bucket|sum|count)$", "", name) if name not in DECLARED else name
        metric = DECLARED.get(family)
        if metric is not None and (metric.kind == "histogram") == (family == name):
            yield f"{name} is a {metric.kind}"
        elif metric is None and name not in RECORDED | OF_OTHERS.keys():
            yield f"{name} is declared nowhere"
        labels = set(metric.labels) | _OF_PROMETHEUS if metric is not None else OF_OTHERS.get(name, set())
        known |= labels
        for label, operator, value in _MATCHER.findall(matchers):
            if label not in labels:
                yield f"{name} has no label {label}"
            elif metric is not None:
                yield from _wrong_value(metric, label, operator, value)
    yield from (f"no metric has a label {name}" for name in groups - known)


def _wrong_value(metric: Metric, label: str, operator: str, value: str) -> Iterator[str]:
    allowed = metric.labels.get(label)
    for each in value.split("|") if "~" in operator else [value]:
        if allowed is not None and each not in allowed:
            yield f"{label} of {metric.name} is never {each}"


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_a_query_names_metrics_labels_and_values_that_are_declared(query: str) -> None:
    assert list(mistakes(query)) == []


@pytest.mark.parametrize(
    ("query", "mistake"),
    [
        ("sum(rate(dmp_ingest_event_total[5m]))", "dmp_ingest_event_total is declared nowhere"),
        ("sum by (campaign) (dmp_ingest_events_total)", "no metric has a label campaign"),
        ('dmp_ingest_events_total{verdict="lost"}', "verdict of dmp_ingest_events_total is never lost"),
        ('dmp_ingest_events_total{of="x"}', "dmp_ingest_events_total has no label of"),
        ("dmp_ingest_group_events > 1", "dmp_ingest_group_events is a histogram"),
        ("dmp_ingest_queue_events_count", "dmp_ingest_queue_events_count is a gauge"),
    ],
)
def test_a_name_that_is_not_there_is_noticed(query: str, mistake: str) -> None:
    assert list(mistakes(query)) == [mistake]


def run(*command: str | Path) -> str:
    """What promtool prints. Fails when it says that something is wrong."""
    arguments = [program("promtool"), *map(str, command)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, cwd=FOLDER / "prometheus")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtools_tests_of_the_rules_pass() -> None:
    assert "SUCCESS" in run("test", "rules", "tests/alerts.yml")


def test_the_configuration_and_every_query_are_read_by_prometheus(tmp_path: Path) -> None:
    run("check", "config", "prometheus.yml")
    groups = [
        {"name": path.stem, "rules": [{"record": f"q{n}", "expr": query} for n, query in enumerate(queries(path))]}
        for path in dashboards()
    ]
    assert len(groups) == 5
    written = tmp_path / "queries.yml"
    written.write_text(yaml.safe_dump({"groups": groups}))
    run("check", "rules", "--lint=none", written)


def test_every_alert_is_tested_to_ring_with_every_severity() -> None:
    document = yaml.safe_load((FOLDER / "prometheus" / "tests" / "alerts.yml").read_text())
    rung = {
        (check["alertname"], alert["exp_labels"]["severity"])
        for test in document["tests"]
        for check in test["alert_rule_test"]
        for alert in check["exp_alerts"]
    }
    assert rung == {(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS}


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    for rule in ALERTS:
        slug = re.sub(r"(?<!^)(?=[A-Z])", "-", rule["alert"]).lower()
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{slug}.md"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
    named = {Path(rule["annotations"]["runbook"]).stem for rule in ALERTS}
    assert named == pages
    overview = (RUNBOOKS / "README.md").read_text()
    assert set(re.findall(r"\]\(([a-z-]+)\.md\)", overview)) == pages


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*-*.md")), ids=lambda path: path.stem)
def test_a_page_says_what_somebody_asks_at_night(path: Path) -> None:
    titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    assert re.sub(r"(?<!^)(?=[A-Z])", "-", titles[0]).lower() == path.stem
    assert titles[1:] == [
        "What it means for users",
        "What to look at",
        "What to do",
        "When to wake somebody else",
    ]


@pytest.mark.parametrize("path", dashboards(), ids=lambda path: path.stem)
def test_a_dashboard_has_one_id_and_panels_that_do_not_overlap(path: Path) -> None:
    document = json.loads(path.read_text())
    assert document["uid"] == f"dmp-{path.stem}"
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    cells = [
        (place["x"] + dx, place["y"] + dy) for place in places for dx in range(place["w"]) for dy in range(place["h"])
    ]
    assert len(set(cells)) == len(cells)
    for panel in panels:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "dmp"}


def test_every_metric_that_is_declared_is_on_a_dashboard() -> None:
    shown = " ".join(query for path in dashboards() for query in queries(path))
    missing = {name for name in DECLARED if not re.search(rf"\b{name}(_bucket|_count|_sum)?\b", shown)}
    assert missing == set()
