"""deploy/kubernetes beside Kubernetes' schemas, compose, the gateway and the settings of the services."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.deployment import CONTEXTS, ROOT, compose, documented_variables, final_stage, settings
from tests.deploy.kustomize import Manifest, containers, pod, render

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("one-node", "production", "cluster")
WITHOUT_SCHEMA = {"cert-manager.io/v1", "monitoring.coreos.com/v1"}
"""Kinds that come with other software; the package has the schemas of Kubernetes alone."""

ADDRESSES = {"ingest": {"DMP_IDENTITY_ADDRESS", "DMP_STATS_ADDRESS"}, "identity": set(), "stats": set()}


@cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    return tuple(render(FOLDER / "overlays" / overlay))


def of_kind(overlay: str, kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in rendered(overlay) if each["kind"] == kind}


def all_containers(overlay: str) -> Iterator[tuple[Manifest, Manifest]]:
    for manifest in rendered(overlay):
        for container in containers(manifest):
            yield manifest, container


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_one_that_kubernetes_knows(overlay: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered(overlay)]
    assert len(names) == len(set(names))
    for manifest in rendered(overlay):
        if manifest["apiVersion"] not in WITHOUT_SCHEMA:
            kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    manifest = yaml.safe_load(yaml.safe_dump(of_kind("production", "Deployment")["ingest"]))
    manifest["spec"]["template"]["spec"]["containers"][0]["livenessProbes"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.37", strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_may_do_as_little_as_possible(overlay: str) -> None:
    for manifest, container in all_containers(overlay):
        spec = pod(manifest)
        assert spec is not None
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        for kind in ("requests", "limits"):
            assert set(container["resources"][kind]) == {"cpu", "memory"}
    labels = of_kind(overlay, "Namespace")["dmp"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("context", [*CONTEXTS, "gateway"])
def test_a_pod_runs_as_the_user_of_its_image(context: str) -> None:
    spec = pod(of_kind("production", "Deployment")[context])
    assert spec is not None
    assert (
        f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"
        == final_stage(context)["USER"]
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_service_is_given_settings_that_it_reads_and_all_that_it_needs(context: str, overlay: str) -> None:
    (container,) = containers(of_kind(overlay, "Deployment")[context])
    own = {each["name"]: each["value"] for each in container["env"]}
    read = settings(context)
    named = {name.removesuffix("_URL_FILE") + "_URL" if name.endswith("_URL_FILE") else name for name in own}
    assert named <= set(read) & set(documented_variables())
    assert {name for name, default in read.items() if default is None} <= named
    assert ADDRESSES[context] <= named
    port = int(final_stage(context)["EXPOSE"])
    metrics = str(read[f"DMP_{context.upper()}_METRICS_LISTEN"]).rpartition(":")[2]
    assert own[f"DMP_{context.upper()}_METRICS_LISTEN"] == f"0.0.0.0:{metrics}"
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == {
        "grpc": port,
        "metrics": int(metrics),
    }
    assert all(own[name] == compose()[context]["environment"][name] for name in ADDRESSES[context])
    service = of_kind(overlay, "Service")[context]["spec"]
    assert service["clusterIP"] == "None"
    assert [each["port"] for each in service["ports"]] == [port, int(metrics)]
    assert container["readinessProbe"]["exec"]["command"] == compose()[context]["healthcheck"]["test"][1:]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_all_services_are_told_is_documented_and_read_by_one(overlay: str) -> None:
    told = of_kind(overlay, "ConfigMap")["settings"]["data"]
    assert set(told) <= set(documented_variables())
    assert set(told) <= {name for context in CONTEXTS for name in settings(context)}
    assert (told.get("DMP_PLAIN_STORES") == "1") == (overlay == "one-node"), (
        "stores without TLS are in the same namespace"
    )
    for context in CONTEXTS:
        spec = pod(of_kind(overlay, "Deployment")[context])
        assert spec is not None
        assert spec["terminationGracePeriodSeconds"] > float(told["DMP_DRAIN_SECONDS"]) + 10


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_are_those_of_compose_by_an_exact_release(overlay: str) -> None:
    own = {name: service["image"] for name, service in compose().items()}
    for manifest, container in all_containers(overlay):
        name, tag = container["image"].rsplit(":", 1)
        if "dmp" in name:
            context = manifest["metadata"]["name"].removesuffix("-migrate")
            assert name in {own[context], f"registry.example/{own[context].replace('-', '/', 1)}"}
            version = tomllib.loads((ROOT / "services/ingest/pyproject.toml").read_text())["project"]["version"]
            assert tag == version
        else:
            assert container["image"] in own.values()


def test_the_stores_of_one_node_are_those_of_compose() -> None:
    sets = of_kind("one-node", "StatefulSet")
    (postgres,) = containers(sets["postgres"])
    (valkey,) = containers(sets["valkey"])
    for container, name, key in ((postgres, "postgres", "command"), (valkey, "valkey", "command")):
        told = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", text) for text in compose()[name][key]]
        assert container["args"] == told
        assert [part.rpartition("/")[2] for part in container["command"]] == [
            part.rpartition("/")[2] for part in compose()[name]["entrypoint"]
        ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_is_documented_and_none_is_in_a_manifest(overlay: str) -> None:
    readme = (FOLDER / "README.md").read_text()
    assert not of_kind(overlay, "Secret")
    made = {each["spec"]["secretName"] for each in of_kind(overlay, "Certificate").values()}
    for manifest, container in all_containers(overlay):
        spec = pod(manifest)
        assert spec is not None
        used = {each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each}
        used |= {each["valueFrom"]["secretKeyRef"]["name"] for each in container.get("env", ()) if "valueFrom" in each}
        for name in used - made:
            assert f"`{name}`" in readme
        mounts = {each["name"] for each in container["volumeMounts"]}
        claims = {each["metadata"]["name"] for each in manifest["spec"].get("volumeClaimTemplates", ())}
        assert mounts == {each["name"] for each in spec["volumes"]} | claims


@pytest.mark.parametrize("name", ["gateway", *CONTEXTS])
def test_a_certificate_has_the_names_that_the_others_look_for(name: str) -> None:
    spec = of_kind("production", "Certificate")[name]["spec"]
    assert (spec["dnsNames"], spec["uris"]) == ([name], [f"spiffe://dmp/{name}"])
    assert {"server auth", "client auth"} <= set(spec["usages"])
    assert spec["secretName"] == f"{name}-certificate"


def test_the_gateway_reads_the_files_of_the_repository() -> None:
    manifest = of_kind("production", "Deployment")["gateway"]
    (container,) = containers(manifest)
    data = of_kind("production", "ConfigMap")["gateway-configuration"]["data"]
    text = (ROOT / "gateway" / "envoy.yaml").read_text()
    assert data["envoy.yaml"] == text
    assert {f"/etc/envoy/{name}" for name in data} == {
        each["mountPath"] for each in container["volumeMounts"] if each["name"] == "configuration"
    }
    assert sum(len(value) for value in data.values()) < 1_000_000, "a config map has at most 1 MiB"
    assert {f"/etc/envoy/{name}" for name in data if name.endswith(".lua")} == set(
        re.findall(r"/etc/envoy/\w+\.lua", text)
    )
    image = json.loads(final_stage("gateway")["CMD"])
    assert container["args"][: len(image)] == image
    bootstrap = yaml.safe_load(text)
    drain = container["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert bootstrap["admin"]["address"]["pipe"]["path"] in drain
    seconds = int(re.findall(r"sleep (\d+)", drain)[0])
    assert container["args"][-1] == str(seconds)
    spec = pod(manifest)
    assert spec is not None
    assert spec["terminationGracePeriodSeconds"] > seconds
    assert {container["readinessProbe"]["httpGet"]["path"]} <= set(re.findall(r"path: (/docs/[\w.]+)\}", text))


def test_the_step_that_makes_the_first_key_makes_the_files_that_the_gateway_reads(tmp_path: Path) -> None:
    step = "python -m dmp_stack keys first"
    readme = (FOLDER / "README.md").read_text()
    assert step in readme
    assert "--from-file=keys/gateway" in readme
    subprocess.run(
        [sys.executable, *step.split()[1:]],
        env={"DMP_KEYS_DIR": str(tmp_path / "keys")},
        check=True,
        capture_output=True,
    )
    made = {f"/etc/envoy/keys/{each.name}" for each in (tmp_path / "keys" / "gateway").iterdir()}
    assert made == set(re.findall(r"/etc/envoy/keys/\w+\.json", (ROOT / "gateway" / "envoy.yaml").read_text()))


def test_policies_let_through_the_arrows_of_the_architecture_and_nothing_else() -> None:
    policies = of_kind("one-node", "NetworkPolicy")
    denied = policies.pop("default-deny")["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    ports = {context: int(final_stage(context)["EXPOSE"]) for context in CONTEXTS}
    arrows = {("gateway", context, ports[context]) for context in CONTEXTS}
    arrows |= {("ingest", context, ports[context]) for context in ("identity", "stats")}
    arrows |= {(context, store, port) for context in CONTEXTS for store, port in (("postgres", 5432), ("valkey", 6379))}
    arrows |= {(f"{context}-migrate", "postgres", 5432) for context in CONTEXTS}
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in rendered("one-node")
        if pod(each)
    }
    assert _allowed(policies, pods, "egress") == arrows
    assert _allowed(policies, pods, "ingress") == arrows
    assert policies["gateway"]["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8443}]}]
    metrics = {int(str(settings(each)[f"DMP_{each.upper()}_METRICS_LISTEN"]).rpartition(":")[2]) for each in CONTEXTS}
    assert {each["port"] for each in policies["metrics"]["spec"]["ingress"][0]["ports"]} == metrics


def _allowed(policies: dict[str, Manifest], pods: dict[str, Any], way: str) -> set[tuple[str, str, int]]:
    """Who may speak with whom on which port, as this side says it; other namespaces are left out."""
    found = set()
    for policy in policies.values():
        own = [name for name, labels in pods.items() if _chosen(policy["spec"]["podSelector"], labels)]
        for rule in policy["spec"].get(way, ()):
            peers = [
                each for each in rule.get("to" if way == "egress" else "from", ()) if "namespaceSelector" not in each
            ]
            others = {name for name, labels in pods.items() for peer in peers if _chosen(peer["podSelector"], labels)}
            found |= {
                (one, other, port["port"]) if way == "egress" else (other, one, port["port"])
                for one in own
                for other in others
                for port in rule["ports"]
            }
    return found


def _chosen(selector: Manifest, labels: dict[str, str]) -> bool:
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ()))


@pytest.mark.parametrize("overlay", ["production", "cluster"])
def test_every_deployment_of_production_scales_spreads_and_outlives_a_node(overlay: str) -> None:
    deployments = of_kind(overlay, "Deployment")
    scalers = of_kind(overlay, "HorizontalPodAutoscaler")
    assert set(deployments) == set(scalers) == set(of_kind(overlay, "PodDisruptionBudget")) == {"gateway", *CONTEXTS}
    for name, manifest in deployments.items():
        assert "replicas" not in manifest["spec"], "the autoscaler's"
        assert scalers[name]["spec"]["scaleTargetRef"]["name"] == name
        assert scalers[name]["spec"]["minReplicas"] >= 2
        spec = pod(manifest)
        assert spec is not None
        keys = {each["topologyKey"] for each in spec["topologySpreadConstraints"]}
        assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert sum(scalers[context]["spec"]["maxReplicas"] for context in CONTEXTS) <= 15, "connections of PostgreSQL"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_database_has_its_migration_and_citus_its_layout(overlay: str) -> None:
    jobs = set(of_kind(overlay, "Job"))
    layouts = {f"{context}-layout" for context in CONTEXTS} if overlay == "cluster" else set()
    assert jobs == {f"{context}-migrate" for context in CONTEXTS} | layouts
    for context in CONTEXTS:
        (container,) = containers(of_kind(overlay, "Job")[f"{context}-migrate"])
        assert container["args"] == compose()[f"{context}-migrate"]["command"]
        assert [each["name"] for each in container["env"]] == [f"DMP_{context.upper()}_DATABASE_URL_FILE"]
