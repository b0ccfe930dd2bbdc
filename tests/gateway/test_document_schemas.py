"""The schemas of the OpenAPI document have the fields and the types of the protos, at every depth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from dmp_stack.programs import repository_root
from tests.gateway.backends import SERVICES

Json: TypeAlias = dict[str, Any]

DOCUMENT: Json = json.loads((repository_root() / "gateway" / "openapi.json").read_text())
ANY_JSON = {"google.protobuf.Struct", "google.protobuf.Value"}

KINDS = {
    FieldDescriptor.TYPE_STRING: {"string"},
    FieldDescriptor.TYPE_BOOL: {"boolean"},
    FieldDescriptor.TYPE_INT32: {"integer"},
    FieldDescriptor.TYPE_UINT32: {"integer"},
    FieldDescriptor.TYPE_INT64: {"integer", "number"},
    FieldDescriptor.TYPE_DOUBLE: {"number"},
    FieldDescriptor.TYPE_ENUM: {"string"},
    FieldDescriptor.TYPE_MESSAGE: {"object"},
}


def typed_answers() -> Iterator[Any]:
    """Each RPC whose answer is transcoded field by field, with the schema that the document has for it."""
    for service in SERVICES:
        for method in service.methods:
            rule: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
            verb = rule.WhichOneof("pattern")
            if verb is not None and not rule.response_body and not method.server_streaming:
                answer = DOCUMENT["paths"][getattr(rule, verb)][verb]["responses"]["200"]["content"]
                yield pytest.param(method, answer["application/json"]["schema"], id=method.name)


def resolved(schema: Json) -> Json:
    """The schema that this one stands for: of a reference its target, of a nullable one what is not null."""
    while "$ref" in schema or "anyOf" in schema or "oneOf" in schema:
        if "$ref" in schema:
            schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        else:
            (schema,) = [each for each in schema.get("anyOf") or schema["oneOf"] if each.get("type") != "null"]
    return schema


def differences(message: Descriptor, schema: Json, at: str) -> list[str]:
    """How the schema of a message differs from the message."""
    if message.full_name in ANY_JSON or message.full_name.startswith("google.protobuf."):
        return []
    properties = resolved(schema).get("properties", {})
    fields = {field.json_name: field for field in message.fields}
    found = [f"{at}.{name} is not described" for name in sorted(fields.keys() - properties.keys())]
    found += [f"{at}.{name} is in no proto" for name in sorted(properties.keys() - fields.keys())]
    for name in sorted(fields.keys() & properties.keys()):
        found += differences_of_field(fields[name], resolved(properties[name]), f"{at}.{name}")
    return found


def differences_of_field(field: FieldDescriptor, schema: Json, at: str) -> list[str]:
    """How the schema of a field differs from the field, and from what is in it."""
    inside = field.message_type
    if inside is not None and inside.GetOptions().map_entry:
        field, schema = inside.fields_by_name["value"], resolved(schema.get("additionalProperties", {}))
        inside = field.message_type
    elif field.is_repeated:
        if schema.get("type") != "array":
            return [f"{at} is a list"]
        schema = resolved(schema["items"])
    if inside is not None and inside.full_name.startswith("google.protobuf."):
        return []
    kinds = schema.get("type", "nothing")
    kinds = {kinds} if isinstance(kinds, str) else set(kinds) - {"null"}
    if not kinds <= KINDS[field.type]:
        return [f"{at} is {sorted(kinds)}, in the proto {sorted(KINDS[field.type])}"]
    return differences(inside, schema, at) if inside is not None else []


@pytest.mark.parametrize(("method", "schema"), [*typed_answers()])
def test_an_answer_is_described_as_the_proto_has_it(method: MethodDescriptor, schema: Json) -> None:
    assert differences(method.output_type, schema, method.output_type.name) == []
