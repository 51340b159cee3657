"""The OpenAPI 3.1 document, made of the table of resources and of the message structs.

JSON Schema is what msgspec makes of the structs that decode and describe the messages, so
the document cannot drift from them; what is not built has no struct and is not shown.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import trio

from exchange.domain.names import published
from exchange.gateway.http.messages import JSON, Reply
from exchange.gateway.http.problems import CONTENT_TYPE, Problem, status_phrase
from exchange.gateway.resources import schema
from exchange.gateway.resources.resource import Call, Resource

VERSION = "3.1.0"
TEMPLATE = "#/components/schemas/{name}"
ANY = (400, 429, 431, 503)  # what any request may meet
GUARDED = (401, 403)
WITH_BODY = (408, 413, 415)
_PATH_TYPES = {
    "symbol": schema.SymbolText,
    "order_id": schema.IdText,
    "client_order_id": schema.ClientOrderId,
}
DESCRIPTION = """\
Prices and quantities are exact decimals, written as strings; numbers are accepted and read
exactly. An order with a `client_order_id` is safe to send again. Errors are RFC 9457 problems.
"""


def resource(resources: Sequence[Resource]) -> Resource:
    """Return the resource that serves the document of all the others."""
    document = msgspec.json.encode(make_document(resources))

    async def get(_call: Call) -> Reply:
        await trio.lowlevel.checkpoint()
        return Reply(document)

    return Resource("GET", "/openapi.json", get, "This document.", dict)


def make_document(resources: Sequence[Resource]) -> dict[str, Any]:
    """Return the document."""
    types = _types(resources)
    found, components = msgspec.json.schema_components(types, ref_template=TEMPLATE)
    found, components = _published(found), _published(components)
    schemas = dict(zip(types, found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for each in resources:
        operations = paths.setdefault(each.path, {})
        operations[each.method.lower()] = _operation(each, schemas)
    return {
        "openapi": VERSION,
        "info": {"title": "Stock exchange", "version": "1", "description": DESCRIPTION},
        "servers": [{"url": "/v1"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _published(node: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a schema with its patterns as JSON Schema and RE2 have them."""
    if isinstance(node, dict):
        return {
            key: published(value)
            if key == "pattern" and isinstance(value, str)
            else _published(value)
            for key, value in node.items()
        }
    return [_published(each) for each in node] if isinstance(node, list | tuple) else node


def _types(resources: Sequence[Resource]) -> list[Any]:
    """Return every type that the document shows, once."""
    types: list[Any] = [Problem, *_PATH_TYPES.values()]
    for each in resources:
        types += [*_several(each.answer), *_several(each.body)]
        types += [field.type for field in msgspec.structs.fields(each.query)]
    return [kind for place, kind in enumerate(types) if kind and kind not in types[:place]]


def _several(kinds: Any) -> list[Any]:  # noqa: ANN401 - a type, a tuple of types, or none
    several = kinds if isinstance(kinds, tuple) else (kinds,)
    return [kind for kind in several if kind not in (None, dict)]


def _schema_of(kinds: Any, schemas: dict[Any, Any]) -> Any:  # noqa: ANN401 - as above
    if kinds is dict:
        return {"type": "object"}
    several = [schemas[kind] for kind in _several(kinds)]
    return several[0] if len(several) == 1 else {"anyOf": several}


def _operation(each: Resource, schemas: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _name(each),
        "summary": each.summary,
        "parameters": [*_path_parameters(each, schemas), *_query_parameters(each, schemas)],
        "responses": _responses(each, schemas),
    }
    if each.access != "public":
        operation["security"] = [{"key": []}]
    if each.body is not None:
        content = {JSON: {"schema": _schema_of(each.body, schemas)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _name(each: Resource) -> str:
    return f"{each.method.lower()}_{re.sub(r'[^a-z]+', '_', each.path).strip('_')}"


def _path_parameters(each: Resource, schemas: dict[Any, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": schemas[_PATH_TYPES[name]]}
        for name in re.findall(r"\{(\w+)\}", each.path)
    ]


def _query_parameters(each: Resource, schemas: dict[Any, Any]) -> list[dict[str, Any]]:
    parameters = []
    for field in msgspec.structs.fields(each.query):
        shown = dict(schemas[field.type])
        options = [one for one in shown.get("anyOf", []) if one.get("type") != "null"]
        if len(options) == 1 and "anyOf" in shown:
            shown = options[0]  # leaving it out is how a parameter is null
        if field.default not in (None, msgspec.NODEFAULT):
            shown = shown | {"default": field.default}
        parameters.append({"name": field.encode_name, "in": "query", "schema": shown})
    return parameters


def _responses(each: Resource, schemas: dict[Any, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": status_phrase(each.status)}
    if each.answer is None:
        good["content"] = {"text/plain": {"schema": {"type": "string"}}}
    else:
        good["content"] = {JSON: {"schema": _schema_of(each.answer, schemas)}}
    responses = {str(each.status): good}
    for status in each.also:
        responses[str(status)] = {**good, "description": status_phrase(status)}
    problem = {CONTENT_TYPE: {"schema": schemas[Problem]}}
    for status in sorted(_problem_statuses(each)):
        responses[str(status)] = {"description": status_phrase(status), "content": problem}
    return responses


def _problem_statuses(each: Resource) -> set[int]:
    guarded = GUARDED if each.access != "public" else ()
    with_body = WITH_BODY if each.body is not None else ()
    return {*ANY, *guarded, *with_body, *each.problems}
