"""What people type into the form of a source: read as the API takes it, shown as it was typed.

The form is made from what the system says of its settings and credentials. A text is typed as it is, everything else as
JSON. A setting that is left empty is as it is by default; credentials that are left empty stay as they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from delivery.domain.envelope import read_json, write_json
from delivery.domain.errors import HooklineError, InvalidInput
from service.api.sources import Source
from service.api.systems import System

Kind = Literal["text", "number", "switch", "choice", "json", "secret"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form; ``name`` is its group and its name: ``settings.interval_s``."""

    name: str
    label: str
    hint: str
    kind: Kind
    required: bool
    default: Any = None
    choices: tuple[str, ...] = ()


def fields_of(system: System, source: Source | None = None) -> list[Field]:
    """The fields that a system wants. Credentials that a source has need not be typed again."""
    return [
        *_fields("settings", system.settings, kept=False),
        *_fields("credentials", system.credentials, kept=source is not None),
    ]


def _fields(group: str, schema: Mapping[str, Any], *, kept: bool) -> Iterator[Field]:
    required = () if kept else schema.get("required", ())
    members = sorted(schema.get("properties", {}).items(), key=lambda pair: pair[0] not in required)
    for name, about in members:
        yield Field(
            name=f"{group}.{name}",
            label=name.replace("_", " ").capitalize(),
            hint=about.get("description", ""),
            kind="secret" if group == "credentials" else _kind(about),
            required=name in required,
            default=about.get("default"),
            choices=tuple(about.get("enum", ())),
        )


def _kind(about: Mapping[str, Any]) -> Kind:
    """How to type a value.

    >>> [_kind(about) for about in ({"type": "string"}, {"type": "number"}, {"enum": ["a"]}, {"anyOf": []})]
    ['text', 'number', 'choice', 'json']
    """
    if "enum" in about:
        return "choice"
    kinds: Mapping[str, Kind] = {"string": "text", "number": "number", "integer": "number", "boolean": "switch"}
    return kinds.get(about.get("type", ""), "json")


def _written(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return write_json(value).decode()


def defaults(fields: list[Field]) -> dict[str, str]:
    """What the form of a new source says before anything is typed: a switch that is on is ticked."""
    return {field.name: "on" for field in fields if field.kind == "switch" and field.default}


def asked(typed: Mapping[str, str], fields: list[Field]) -> dict[str, Any]:
    """The members of a request that say what the form says.

    Raises:
        InvalidInput: a field that is not what it should be.
    """
    members: dict[str, Any] = {
        "name": typed.get("name", "").strip(),
        "url": typed.get("url", "").strip(),
    }
    for field in fields:
        group, _, name = field.name.partition(".")
        text = typed.get(field.name, "").strip()
        if field.kind == "switch":
            members.setdefault(group, {})[name] = text == "on"
        elif text or field.required:
            members.setdefault(group, {})[name] = _read(field, text)
        elif group == "settings":
            members.setdefault(group, {})[name] = field.default
    write_json(members)
    return members


def _read(field: Field, text: str) -> Any:
    if field.kind in ("text", "choice", "secret"):
        return text
    try:
        return read_json(text.encode())
    except HooklineError as error:  # the parser knows no fields
        raise InvalidInput(error.code, "JSON is wanted here", field=field.name) from error


def typed_of(source: Source) -> dict[str, str]:
    """A source as somebody would have typed it, but for its credentials."""
    shown = {
        f"settings.{name}": ("on" if value else "") if isinstance(value, bool) else _written(value)
        for name, value in source.settings.items()
    }
    return {"name": source.name, "url": source.url} | shown


def at_fault(field: str | None, wanted: list[Field]) -> str | None:
    """The field of the form at which a mistake is told: its own, or that of what it lies in."""
    names = {"name", "url", *(one.name for one in wanted)}
    name = field or ""
    while name and name not in names:
        name = name.rpartition(".")[0]
    return name or None
