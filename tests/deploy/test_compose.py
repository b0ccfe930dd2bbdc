"""docker-compose.yml beside the services, the gateway and the list of settings that it has to agree with."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from dmp_stack.programs import envoy_program
from tests.deploy.deployment import (
    CONTEXTS,
    ROOT,
    compose,
    documented_variables,
    final_stage,
    interpolated_variables,
    settings,
)

OF_THE_IMAGE = re.compile(r"DMP_\w+_LISTEN")
"""Where a service listens is what its image exposes and where the gateway looks for it."""

A_FILE = re.compile(r"DMP_\w+_POLICY_FILE")
"""A file has to be mounted, which a variable cannot do."""


OF_A_CERTIFICATE = re.compile(r"DMP_TLS_\w+_FILE")
"""Files of the volume that compose gives the service."""

OF_ITS_NETWORK = "DMP_PLAIN_STORES"
"""Compose has its stores in a network that only the services are in."""

OF_A_STORE = re.compile(r"DMP_(\w+_DATABASE|REDIS)_URL")
"""Compose has them in files of the volume `<context>-stores`."""

NOT_IN_COMPOSE = {"DMP_PLAIN_INSIDE"}
"""Compose has certificates."""


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_service_is_given_every_setting_that_it_reads_and_no_other(context: str) -> None:
    read = {name for name in settings(context) if not OF_THE_IMAGE.fullmatch(name) and not A_FILE.fullmatch(name)}
    read = {f"{name}_FILE" if OF_A_STORE.fullmatch(name) else name for name in read - NOT_IN_COMPOSE}
    assert set(compose()[context]["environment"]) == read | {f"DMP_{context.upper()}_METRICS_LISTEN"}


@pytest.mark.parametrize("context", CONTEXTS)
def test_metrics_are_read_in_the_internal_network_on_a_port_of_their_own(context: str) -> None:
    name = f"DMP_{context.upper()}_METRICS_LISTEN"
    host, _, port = str(settings(context)[name]).rpartition(":")
    assert host == "127.0.0.1"
    assert port != final_stage(context)["EXPOSE"]
    assert compose()[context]["environment"][name] == f"0.0.0.0:{port}"
    gateway = (ROOT / "gateway" / "envoy.yaml").read_text()
    assert port not in gateway


@pytest.mark.parametrize("context", CONTEXTS)
def test_an_optional_setting_can_be_set_from_outside(context: str) -> None:
    environment = compose()[context]["environment"]
    for name, default in settings(context).items():
        of_the_file = OF_A_CERTIFICATE.fullmatch(name) or OF_THE_IMAGE.fullmatch(name) or name == OF_ITS_NETWORK
        if default is not None and name in environment and not of_the_file:
            assert environment[name] in {f"${{{name}:-}}", f"${{{name}:-{default}}}"}


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_setting_is_documented_with_its_default(context: str) -> None:
    documented = documented_variables()
    for name, default in settings(context).items():
        assert name in documented
        if default is not None and not name.endswith("_URL"):
            assert _number_or_text(documented[name]) == _number_or_text(default), name


def test_what_compose_takes_from_outside_is_documented_with_its_default() -> None:
    documented = documented_variables()
    for name, default in interpolated_variables().items():
        assert name in documented
        assert default in {"", documented[name]}, name


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_service_knows_the_way_into_its_own_database_only(context: str) -> None:
    for name in (context, f"{context}-migrate"):
        service = compose()[name]
        assert service["volumes"] == [f"{context}-stores:/stores:ro", f"{context}-certificates:/certificates:ro"]
        urls = {name: path for name, path in service["environment"].items() if name.endswith("_URL_FILE")}
        assert urls.pop(f"DMP_{context.upper()}_DATABASE_URL_FILE") == "/stores/database.url"
        assert urls.pop("DMP_REDIS_URL_FILE", "/stores/redis.url") == "/stores/redis.url"
        assert urls == {}


def test_stores_go_without_proof_only_where_nobody_else_is() -> None:
    for name, service in compose().items():
        trusting = service.get("environment", {}).get(OF_ITS_NETWORK) == "1"
        assert trusting == ("data" in service.get("networks", ()) and name not in {"postgres", "valkey"} | OBSERVERS), (
            name
        )
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert document["networks"]["data"] == {"internal": True}


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_service_starts_only_after_its_own_migrations(context: str) -> None:
    services = compose()
    needs = services[context]["depends_on"]
    assert needs[f"{context}-migrate"] == {"condition": "service_completed_successfully"}
    assert not set(needs) & set(CONTEXTS), "services start in any order"
    job = services[f"{context}-migrate"]
    assert job["command"] == ["migrate"]
    assert job["build"] == services[context]["build"]
    assert job["image"] == services[context]["image"]
    healthy = {"condition": "service_healthy"}
    assert job["depends_on"] == {"postgres": healthy, "certificates": healthy}


@pytest.mark.parametrize("context", CONTEXTS)
def test_gateway_image_and_health_check_agree_on_the_port(context: str) -> None:
    port = final_stage(context)["EXPOSE"]
    default = settings(context)[f"DMP_{context.upper()}_LISTEN"]
    assert default == f"0.0.0.0:{port}"
    assert compose()[context]["healthcheck"]["test"][-1] == f"127.0.0.1:{port}"
    gateway = yaml.safe_load((ROOT / "gateway" / "envoy.yaml").read_text())
    (cluster,) = [each for each in gateway["static_resources"]["clusters"] if each["name"] == context]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    assert (address["address"], str(address["port_value"])) == (context, port)
    told = compose()["ingest"]["environment"].get(f"DMP_{context.upper()}_ADDRESS")
    assert told in {None, f"{context}:{port}"}


def test_only_the_gateway_is_published_and_by_default_on_this_machine_only() -> None:
    published = {name: service["ports"] for name, service in compose().items() if "ports" in service}
    assert published.pop("grafana") == ["127.0.0.1:${DMP_GRAFANA_PORT:-3000}:3000"], (
        "who only shows, on this machine only"
    )
    assert published == {"gateway": ["${DMP_HTTP_HOST:-127.0.0.1}:${DMP_HTTP_PORT:-8080}:${DMP_GATEWAY_PORT:-8080}"]}


@pytest.mark.parametrize("name", sorted(compose()))
def test_containers_may_do_as_little_as_possible(name: str) -> None:
    service = compose()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["ulimits"]
    assert "cap_add" not in service
    if "build" not in service:  # ours name their user in the image
        assert service["user"] not in ("root", "0", "0:0")


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_service_has_its_own_certificate_and_nobody_elses_key(context: str) -> None:
    service, makes = compose()[context], compose()["certificates"]
    assert f"{context}-certificates:/certificates:ro" in service["volumes"]
    assert f"{context}-certificates:/certificates/{context}" in makes["volumes"]
    files = {name: path for name, path in service["environment"].items() if OF_A_CERTIFICATE.fullmatch(name)}
    assert sorted(files.values()) == ["/certificates/ca.pem", "/certificates/cert.pem", "/certificates/key.pem"]
    assert service["healthcheck"]["test"][-3:-1] == ["--service", context]
    assert service["depends_on"]["certificates"] == {"condition": "service_healthy"}


def test_the_authority_is_for_nobody_but_who_makes_certificates() -> None:
    mounted = {name: [text.split(":")[0] for text in service.get("volumes", ())] for name, service in compose().items()}
    assert [name for name, volumes in mounted.items() if "authority" in volumes] == ["certificates"]
    assert compose()["certificates"]["network_mode"] == "none"
    certificates = [volume for volume in mounted["gateway"] if volume.endswith("-certificates")]
    assert certificates == ["gateway-certificates", "public-certificates"]


def test_the_gateway_has_a_port_with_tls_and_one_without() -> None:
    listeners = yaml.safe_load((ROOT / "gateway" / "envoy.yaml").read_text())["static_resources"]["listeners"]
    ports = {each["name"]: each["address"]["socket_address"]["port_value"] for each in listeners}
    assert ports == {"public": 8080, "public_tls": 8443}
    assert final_stage("gateway")["EXPOSE"].split() == ["8080", "8443"]
    secured = {each["name"]: "transport_socket" in each["filter_chains"][0] for each in listeners}
    assert secured == {"public": False, "public_tls": True}
    assert listeners[0]["filter_chains"][0]["filters"] == listeners[1]["filter_chains"][0]["filters"]


def test_the_gateway_reaches_no_store_and_no_store_reaches_out() -> None:
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    networks = {name: set(service.get("networks", ())) for name, service in compose().items()}
    assert networks["gateway"] == {"edge", "services"}
    assert networks["postgres"] == networks["valkey"] == {"data"}
    assert all(networks[context] == {"services", "data"} for context in CONTEXTS)
    assert document["networks"]["services"] == document["networks"]["data"] == {"internal": True}


def test_images_of_others_are_named_by_an_exact_release() -> None:
    for name, service in compose().items():
        if "build" not in service:
            assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-\w+)?", service["image"]), name


def test_every_password_that_may_be_chosen_reaches_who_hands_them_out_and_nobody_else() -> None:
    chosen = {name for name in interpolated_variables() if name.endswith("_PASSWORD")}
    assert len(chosen) == 5
    assert all(interpolated_variables()[name] == "" for name in chosen), "no password stands in this file"
    for name, service in compose().items():
        named = chosen & set(re.findall(r"DMP_\w+_PASSWORD", yaml.safe_dump(service)))
        assert named == (chosen if name == "passwords" else set()), name


def test_nothing_with_a_password_starts_before_there_are_passwords_and_certificates() -> None:
    services = compose()
    for name in ("gateway", "postgres", "valkey"):
        assert services[name]["depends_on"]["passwords"] == {"condition": "service_completed_successfully"}
        assert services[name]["depends_on"]["certificates"] == {"condition": "service_healthy"}


def test_a_container_sees_no_passwords_of_others() -> None:
    """Who hands them out writes into a volume for each kind of container; nobody else can write there."""
    own = {
        "ingest-stores": {"ingest", "ingest-migrate"},
        "identity-stores": {"identity", "identity-migrate"},
        "stats-stores": {"stats", "stats-migrate"},
        "postgres-secrets": {"postgres"},
        "valkey-secrets": {"valkey"},
        "observers-secrets": {"postgres-exporter", "valkey-exporter"},
        "passwords": set(),
    }
    folders = {}
    for name, service in compose().items():
        for volume in service.get("volumes", ()):
            source, target, *read_only = volume.split(":")
            if source in own and name == "passwords":
                folders[source] = target
            elif source in own:
                assert name in own[source], volume
                assert read_only == ["ro"], volume
    assert folders == {
        source: f"/secrets/{'kept' if source == 'passwords' else source.partition('-')[0]}" for source in own
    }
    assert compose()["passwords"]["network_mode"] == "none"


def test_the_stores_serve_with_their_own_passwords_and_certificates() -> None:
    makes = compose()["certificates"]
    for name in ("postgres", "valkey"):
        service = compose()[name]
        assert f"./deploy/{name}/serve.sh:/serve.sh:ro" in service["volumes"]
        assert service["entrypoint"][1:] == ["/serve.sh"]
        assert {f"{name}-secrets:/secrets:ro", f"{name}-certificates:/certificates:ro"} <= set(service["volumes"])
        assert f"{name}-certificates:/certificates/{name}" in makes["volumes"]
        assert name in makes["command"]
        # Keys and passwords are for the group of who makes them.
        assert service["user"].partition(":")[2] == final_stage("certificates")["USER"].partition(":")[2]


def test_the_gateway_starts_with_keys_and_cannot_write_or_read_the_first_one() -> None:
    services = compose()
    assert services["gateway"]["depends_on"]["keys"] == {"condition": "service_completed_successfully"}
    assert "gateway-keys:/etc/envoy/keys:ro" in services["gateway"]["volumes"]
    assert "keys" not in {volume.split(":")[0] for volume in services["gateway"]["volumes"]}
    assert services["keys"]["volumes"] == ["keys:/keys", "gateway-keys:/keys/gateway"]
    assert services["keys"]["environment"] == {"DMP_OPEN_TO_ANYBODY": "${DMP_OPEN_TO_ANYBODY:-0}"}


def test_the_gateway_is_started_as_its_image_does_it_with_its_settings(tmp_path: Path) -> None:
    """With a configuration of settings alone: the whole one names files of the image, which other tests look at."""
    image, command = json.loads(final_stage("gateway")["CMD"]), compose()["gateway"]["command"]
    assert command[: len(image)] == image
    option, settings_of_it = command[len(image) :]
    assert option == "--config-yaml"
    asked = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", settings_of_it)
    bootstrap = tmp_path / "envoy.yaml"
    bootstrap.write_text("layered_runtime: {layers: [{name: admin, admin_layer: {}}]}")
    subprocess.run(
        [envoy_program(), "--mode", "validate", "-c", bootstrap, "--config-yaml", asked],
        check=True,
        capture_output=True,
    )
    (layer,) = yaml.safe_load(asked)["layered_runtime"]["layers"]
    assert set(layer["static_layer"]) <= set(
        re.findall(r"runtime_key: (\S+),", (ROOT / "gateway/envoy.yaml").read_text())
    )


def test_everything_that_keeps_running_has_a_health_check_and_comes_back() -> None:
    for name, service in compose().items():
        if service["restart"] != "no":
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name


def test_the_database_keeps_what_has_been_committed() -> None:
    postgres = compose()["postgres"]
    assert {"-cfsync=on", "-csynchronous_commit=on", "-cfull_page_writes=on"} <= set(postgres["command"])
    assert "postgres:/var/lib/postgresql" in postgres["volumes"]


OBSERVERS = {"canary", "prometheus", "grafana", "postgres-exporter", "valkey-exporter", "node-exporter"}


def test_who_observes_is_started_only_when_asked_for_and_nobody_waits_for_it() -> None:
    services = compose()
    assert {name for name, service in services.items() if service.get("profiles") == ["observability"]} == OBSERVERS
    assert {name for name, service in services.items() if "profiles" in service} == OBSERVERS
    for name in services.keys() - OBSERVERS:
        assert not set(services[name].get("depends_on", ())) & OBSERVERS, name


def test_prometheus_asks_every_service_where_compose_has_it_listen() -> None:
    jobs = yaml.safe_load((ROOT / "deploy/observability/prometheus/prometheus.yml").read_text())["scrape_configs"]
    for job in jobs:
        for found in job.get("dns_sd_configs", ()):
            context, port = found["names"][0], found["port"]
            assert (job["job_name"], found["names"]) == (context, [context])
            name = f"DMP_{context.upper()}_METRICS_LISTEN"
            assert compose()[context]["environment"][name] == f"0.0.0.0:{port}"
    fixed = [job["static_configs"][0]["targets"][0].split(":") for job in jobs if "static_configs" in job]
    assert {host for host, _ in fixed} - {"localhost"} == OBSERVERS - {"prometheus", "grafana"}
    assert ["canary", "50064"] in fixed
    assert final_stage("canary")["EXPOSE"] == "50064"


def test_the_files_of_the_observers_are_mounted_where_they_are_named() -> None:
    services = compose()
    folder = ROOT / "deploy" / "observability"
    provider = yaml.safe_load((folder / "grafana/provisioning/dashboards/dmp.yml").read_text())["providers"][0]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (
        f"./deploy/observability/grafana/dashboards:{provider['options']['path']}:ro" in services["grafana"]["volumes"]
    )
    assert (folder / "grafana/dashboards" / home.removeprefix(f"{provider['options']['path']}/")).is_file()
    assert "./deploy/observability/prometheus:/etc/dmp:ro" in services["prometheus"]["volumes"]
    assert services["prometheus"]["command"][0] == "--config.file=/etc/dmp/prometheus.yml"
    source = yaml.safe_load((folder / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert (source["uid"], source["url"]) == ("dmp", "http://prometheus:9090")


def _number_or_text(text: str) -> float | str:
    try:
        return float({"False": "0", "True": "1"}.get(text, text))
    except ValueError:
        return text
