"""A JSON Schema as a list of fields, for people to read.

Only what the catalogue's schemas say is understood: local references, ``allOf``, ``oneOf``; none contains itself.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

#: What each limit says of a value.
_LIMITS = {
    "description": "{}",
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "{} or more characters",
    "maxLength": "up to {} characters",
    "minItems": "{} or more items",
    "maxItems": "up to {} items",
    "pattern": "matches {}",
    "default": "{} if left out",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. In its path, ``[]`` is each item of an array and ``*`` each member whatever its name."""

    path: str
    type: str
    required: bool
    description: str


def fields_of(schema: Schema) -> list[Field]:
    """Everything that a schema says of what is in an object, from the outside in.

    >>> for field in fields_of({
    ...     "required": ["ids"],
    ...     "properties": {"ids": {"type": "array", "items": {"$ref": "#/$defs/id"}, "maxItems": 9}},
    ...     "$defs": {"id": {"type": "object", "properties": {"kind": {"const": "a"}}}},
    ... }):
    ...     print(field)
    Field(path='ids', type='array of object', required=True, description='up to 9 items')
    Field(path='ids[].kind', type='"a"', required=False, description='')
    """
    definitions: Mapping[str, Schema] = schema.get("$defs", {})
    return list(_within(_merged(schema, definitions), "", definitions))


def _within(schema: Schema, path: str, definitions: Mapping[str, Schema]) -> Iterator[Field]:
    """The fields below a path."""
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        yield from _field(member, f"{path}.{name}".lstrip("."), name in required, definitions)
    if others := schema.get("additionalProperties"):
        yield from _field(others, f"{path}.*", False, definitions)
    if items := schema.get("items"):
        yield from _within(_merged(items, definitions), f"{path}[]", definitions)
    for choice in schema.get("oneOf", ()):
        yield from _within(_merged(choice, definitions), path, definitions)


def _field(schema: Schema, path: str, required: bool, definitions: Mapping[str, Schema]) -> Iterator[Field]:  # noqa: FBT001
    whole = _merged(schema, definitions)
    yield Field(path, _type(whole, definitions), required, _description(whole))
    yield from _within(whole, path, definitions)


def _merged(schema: Schema, definitions: Mapping[str, Schema]) -> dict[str, Any]:
    """One schema that says what this one and all that it refers to say."""
    parts = list(schema.get("allOf", ()))
    if "$ref" in schema:
        parts.append(definitions[schema["$ref"].removeprefix("#/$defs/")])
    whole = {name: value for name, value in schema.items() if name not in ("allOf", "$ref")}
    for part in parts:
        other = _merged(part, definitions)
        properties = {**other.get("properties", {}), **whole.get("properties", {})}
        required = [*whole.get("required", ()), *other.get("required", ())]
        whole = other | whole
        if properties:
            whole |= {"properties": properties, "required": required}
    if "properties" in whole:
        whole.setdefault("type", "object")
    return whole


def _type(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    match schema:
        case {"const": value}:
            return json.dumps(value)
        case {"enum": values}:
            return " or ".join(json.dumps(value) for value in values)
        case {"oneOf": choices}:
            return " or ".join(_type(_merged(choice, definitions), definitions) for choice in choices)
        case {"type": "array", "items": items}:
            return f"array of {_type(_merged(items, definitions), definitions)}"
        case {"type": "string", "format": kind}:
            return f"string ({kind})"
        case _:
            types = schema.get("type", "any")
            return types if isinstance(types, str) else " or ".join(types)


def _description(schema: Schema) -> str:
    said = (words.format(schema[name]) for name, words in _LIMITS.items() if name in schema)
    return ", ".join(said)
