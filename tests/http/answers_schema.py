"""As much of JSON Schema as our OpenAPI document uses, and an error for anything more."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gradewatch.http.openapi import DOCUMENT

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
ANNOTATIONS = {"description", "maxLength", "minimum", "maximum", "pattern"}
CHECKED = {"$ref", "anyOf", "type", "enum", "properties", "required", "additionalProperties", "items", "format"}


def faults(value: Any, schema: dict[str, Any], at: str = "$") -> list[str]:
    """What is wrong with `value`, by path; empty when nothing is."""
    assert not set(schema) - ANNOTATIONS - CHECKED, f"unknown keywords in {schema}"
    if "$ref" in schema:
        return faults(value, DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], at)
    if "anyOf" in schema:
        tries = [faults(value, one, at) for one in schema["anyOf"]]
        return [] if any(not found for found in tries) else min(tries, key=len)
    if "type" in schema and not _is(value, schema["type"]):
        return [f"{at}: {value!r} is not {schema['type']}"]
    found = [f"{at}: {value!r} not allowed"] if value is not None and value not in schema.get("enum", [value]) else []
    if isinstance(value, str) and schema.get("format") == "date-time":
        datetime.fromisoformat(value)
    if isinstance(value, list) and "items" in schema:
        found += [fault for n, item in enumerate(value) for fault in faults(item, schema["items"], f"{at}[{n}]")]
    return found + (_members(value, schema, at) if isinstance(value, dict) else [])


def _is(value: Any, types: str | list[str]) -> bool:
    names = [types] if isinstance(types, str) else types
    return any(
        isinstance(value, TYPES[n]) and not (n in ("integer", "number") and isinstance(value, bool)) for n in names
    )


def _members(value: dict[str, Any], schema: dict[str, Any], at: str) -> list[str]:
    properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{at}.{name} is missing" for name in schema.get("required", []) if name not in value]
    for name, item in value.items():
        if name in properties:
            found += faults(item, properties[name], f"{at}.{name}")
        elif isinstance(more, dict):
            found += faults(item, more, f"{at}.{name}")
        elif not more:
            found.append(f"{at}.{name} is not in the schema")
    return found


def answer_faults(path: str, method: str, status: int, body: Any) -> list[str]:
    """What is wrong with an answer, by the document."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    if str(status) not in responses:
        return [f"{method} {path} does not say that it answers {status}"]
    return faults(body, responses[str(status)]["content"]["application/json"]["schema"])
