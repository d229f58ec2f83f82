"""JSON Schema of the YAML files, so that editors complete keys, show their meaning and mark mistakes.

An editor with yaml-language-server uses it from the first line of a file: `# yaml-language-server: $schema=accelerator.schema.json`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from accelsim.units import QUANTITIES

_PART = ".part"
"""Suffix of the twin of a definition that demands no key, for mappings below an `include`, which may supply the rest."""
_INCLUDE = {
    "description": "Files whose keys lie underneath the ones written here.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}
_FORMATS = {quantity.noun: quantity.format for quantity in QUANTITIES}


class FromPath:
    """Pydantic annotation: `configfile` puts the content of a file in where only its path is written; the schema allows both."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(schema)]}


def json_schema(kind: str, model: type[BaseModel]) -> dict[str, Any]:
    """The schema of the files of one kind, whose root key is `kind` and whose content is `model` (JSON Schema, draft 2020-12)."""
    body = _readable(model.model_json_schema(ref_template="#/$defs/{model}"))
    definitions: dict[str, Any] = body.pop("$defs", {})
    definitions[kind] = body
    made: dict[str, Any] = {}
    for name, definition in definitions.items():
        partial = {**_partial(definition), "properties": {**_partial(definition).get("properties", {}), "include": _INCLUDE}}
        made[name + _PART] = partial if "properties" in definition else _partial(definition)
        made[name] = _or_included(name, definition)
    whole, part = ({"$ref": f"#/$defs/{kind}{suffix}"} for suffix in ("", _PART))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"accelsim {kind} file",
        "type": "object",
        "if": {"required": ["include"]},
        "then": {"properties": {kind: part, "include": _INCLUDE}, "additionalProperties": False},
        "else": {"properties": {kind: whole}, "required": [kind], "additionalProperties": False},
        "$defs": made,
    }


def _or_included(name: str, definition: dict[str, Any]) -> dict[str, Any]:
    """Complete by itself, or with an `include` that may supply what is absent."""
    if "properties" not in definition:
        return definition
    choice = {"if": {"required": ["include"]}, "then": {"$ref": f"#/$defs/{name}{_PART}"}, "else": definition}
    return {"type": "object", "description": definition.get("description", ""), **choice}


def _partial(node: Any) -> Any:
    """The same schema without required keys, all the way down; of a tagged union any member will do."""
    if isinstance(node, list):
        return [_partial(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _partial(value) for key, value in node.items() if key not in ("required", "discriminator")}
    if "$ref" in kept and isinstance(kept["$ref"], str):
        kept["$ref"] += _PART
    if "oneOf" in kept:
        kept["anyOf"] = kept.pop("oneOf")
    return kept


def _readable(node: Any) -> Any:
    """Write defaults with their units, drop titles that only repeat the key."""
    if isinstance(node, list):
        return [_readable(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _readable(value) for key, value in node.items() if key != "title" or not isinstance(value, str)}
    form = _FORMATS.get(node["title"]) if isinstance(node.get("title"), str) else None
    if form is not None and isinstance(node.get("default"), int):
        kept["default"] = form(node["default"])
    return kept
