"""The gateway's files agree with the protos and with each other, and Envoy takes them as a container has them."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import FieldDescriptor
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from dmp_stack.programs import console_directory, documentation_directory, envoy_program, repository_root
from tests.gateway.backends import SERVICES

GATEWAY = repository_root() / "gateway"
FOR_CALLERS_WITHOUT_A_PATH = {
    "MergeProfiles",
    "Identify",
    "PublishEvents",
    "PublishEventStream",
    "PublishEventStreamJson",
    "ReplaceReferenceUsers",
    "QueryStats",
}
"""RPCs that callers use natively only; their siblings for JSON have another form."""

STATIC_PATHS = {"/console", "/console/*", "/dmp.js", "/docs", "/docs/*", "/openapi.json", "/redoc"}


def bindings() -> dict[str, set[str]]:
    """The methods of each path template that the protos annotate."""
    found: dict[str, set[str]] = defaultdict(set)
    for service in SERVICES:
        for method in service.methods:
            rule: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
            for binding in (rule, *rule.additional_bindings):
                verb = binding.WhichOneof("pattern")
                if verb is not None:
                    found[getattr(binding, verb)].add(verb.upper())
    return found


def lua_table(name: str) -> dict[str, str]:
    """A table of texts from the Lua script."""
    (body,) = re.findall(
        rf"^local {name} = \{{(.*?)\}}", (GATEWAY / "requests.lua").read_text(), re.MULTILINE | re.DOTALL
    )
    return dict(re.findall(r'([\w/*.:-]+)(?:"\])? = "([^"]*)"', body))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    read: dict[str, Any] = json.loads((GATEWAY / "openapi.json").read_text())
    return read


def test_envoy_takes_the_file_as_a_container_has_it(tmp_path: Path) -> None:
    site, documentation = console_directory(), documentation_directory()
    assert site is not None
    packaged = {
        "console/": site,
        "example/": repository_root() / "clients" / "js" / "example",
        "redoc/": documentation / "redoc" / "bundles",
        "snippet/": repository_root() / "clients" / "js" / "bundle",
        "swagger-ui/": documentation / "swagger-ui-dist",
    }

    def here(match: re.Match[str]) -> str:
        for prefix, folder in packaged.items():
            if match[1].startswith(prefix):
                return str(folder / match[1].removeprefix(prefix))
        folders = [GATEWAY, repository_root() / "protos" / "gen"]
        (found,) = [path for folder in folders if (path := folder / match[1]).is_file()]
        return str(found)

    for name in ("authenticate.json", "limit.json"):
        (tmp_path / name).touch()
    text = (GATEWAY / "envoy.yaml").read_text().split("\nnode:", 1)[1].replace("/etc/envoy/keys", str(tmp_path))
    (tmp_path / "envoy.yaml").write_text("node:" + re.sub(r"/etc/envoy/([\w./-]+\w)", here, text))
    result = subprocess.run(
        [str(envoy_program()), "--mode", "validate", "--log-level", "warning", "-c", str(tmp_path / "envoy.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "warning" not in result.stdout + result.stderr


def test_the_admin_interface_is_not_on_the_network() -> None:
    configuration = yaml.safe_load((GATEWAY / "envoy.yaml").read_text())
    assert set(configuration["admin"]["address"]) == {"pipe"}


def test_the_script_knows_the_methods_of_every_path() -> None:
    annotated = {re.sub(r"\{[^}]*\}", "*", path): methods for path, methods in bindings().items()}
    known = {path: set(methods.split(", ")) for path, methods in lua_table("METHODS").items()}
    assert {path: methods for path, methods in known.items() if path not in STATIC_PATHS} == annotated


def test_the_script_knows_the_variables_of_every_path() -> None:
    variables = {(path.split("/")[1], name) for path in bindings() for name in re.findall(r"\{(\w+)\}", path)}
    assert set(lua_table("VARIABLES").items()) == variables


def test_the_script_knows_the_parameters_that_are_lists() -> None:
    lists = defaultdict(set)
    for service in SERVICES:
        for method in service.methods:
            rule: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
            for field in method.input_type.fields if rule.WhichOneof("pattern") in ("get", "delete") else ():
                if field.is_repeated:
                    lists[getattr(rule, rule.WhichOneof("pattern") or "")].add(field.name)
    assert {path: set(names.split()) for path, names in lua_table("LISTS").items()} == lists


JSON_TYPES = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_INT32: "integer",
    FieldDescriptor.TYPE_INT64: "integer",
    FieldDescriptor.TYPE_DOUBLE: "number",
    FieldDescriptor.TYPE_BOOL: "boolean",
}


def test_parameters_have_the_types_of_the_protos(document: dict[str, Any]) -> None:
    checked = 0
    for service in SERVICES:
        for method in service.methods:
            rule: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
            for binding in (rule, *rule.additional_bindings):
                verb = binding.WhichOneof("pattern")
                if verb is None:
                    continue
                fields = {field.json_name: field for field in method.input_type.fields}
                operation = document["paths"][getattr(binding, verb)][verb]
                for parameter in (resolved(document, each) for each in operation.get("parameters", [])):
                    if parameter["in"] == "header":
                        continue
                    field, schema = fields[parameter["name"]], parameter["schema"]
                    assert (schema["type"] == "array") == field.is_repeated, (method.name, field.name)
                    plain = schema["items"] if field.is_repeated else schema
                    assert plain["type"] == JSON_TYPES[field.type], (method.name, field.name)
                    checked += 1
    assert checked > 40


def test_the_document_says_which_statuses_a_path_can_have(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            expected = {"503", "504", "default"}
            if operation.get("security") != []:
                expected |= {"401", "403", "429"}
            if operation.get("parameters") or verb != "get":
                expected |= {"400"}
            if "requestBody" in operation:
                expected |= {"413", "415"}
            assert expected <= set(operation["responses"]), (verb, path)


def test_an_rpc_without_a_path_is_for_callers_or_hidden() -> None:
    patterns = re.findall(r"regex: '(/dmp[^']*)'\}\}\n +direct_response", (GATEWAY / "envoy.yaml").read_text())
    for service in SERVICES:
        for method in service.methods:
            rule: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
            hidden = any(re.fullmatch(pattern, f"/{service.full_name}/{method.name}") for pattern in patterns)
            for_callers = rule.WhichOneof("pattern") is not None or method.name in FOR_CALLERS_WITHOUT_A_PATH
            assert hidden != for_callers, method.full_name


def test_the_document_describes_every_path_and_no_other(document: dict[str, Any]) -> None:
    described = {path: {method.upper() for method in operations} for path, operations in document["paths"].items()}
    assert described == bindings()


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    checked = 0
    for holder in holders_of_examples(document):
        validator = Draft202012Validator({**holder["schema"], "components": document["components"]})
        for name, example in holder["examples"].items():
            assert [error.message for error in validator.iter_errors(example["value"])] == [], name
            checked += 1
    assert checked > 40


def holders_of_examples(value: object) -> list[dict[str, Any]]:
    """All media types and parameters that have examples."""
    found = []
    if isinstance(value, dict):
        if "schema" in value and "examples" in value:
            found.append(value)
        found += [holder for item in value.values() for holder in holders_of_examples(item)]
    elif isinstance(value, list):
        found += [holder for item in value for holder in holders_of_examples(item)]
    return found


def test_every_answer_with_a_body_has_an_example(document: dict[str, Any]) -> None:
    answers = [*document["components"]["responses"].values()]
    for operations in document["paths"].values():
        for operation in operations.values():
            answers += [answer for answer in operation["responses"].values() if "$ref" not in answer]
    for answer in answers:
        assert all(media["examples"] for media in answer["content"].values()), answer["description"]


def test_the_schemas_of_typed_answers_have_the_fields_of_the_protos(document: dict[str, Any]) -> None:
    for service in SERVICES:
        for method in service.methods:
            rule: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
            verb = rule.WhichOneof("pattern")
            if verb is None or rule.response_body:
                continue
            answer = document["paths"][getattr(rule, verb)][verb]["responses"]["200"]["content"]["application/json"]
            described = document["components"]["schemas"][answer["schema"]["$ref"].rpartition("/")[2]]
            assert set(described["properties"]) == {field.json_name for field in method.output_type.fields}, method.name


def test_the_document_describes_every_parameter_that_is_not_in_a_body(document: dict[str, Any]) -> None:
    for service in SERVICES:
        for method in service.methods:
            rule: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
            for binding in (rule, *rule.additional_bindings):
                verb = binding.WhichOneof("pattern")
                if verb in ("get", "delete"):
                    operation = document["paths"][getattr(binding, verb)][verb]
                    described = {resolved(document, parameter)["name"] for parameter in operation.get("parameters", [])}
                    assert described == {field.json_name for field in method.input_type.fields}, method.name


def resolved(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """A parameter, or the one that it refers to."""
    if "$ref" not in value:
        return value
    found: dict[str, Any] = document["components"]["parameters"][value["$ref"].rpartition("/")[2]]
    return found
