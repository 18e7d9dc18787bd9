"""The event types: one table.

Schemas and examples are the platform's own, kept beside this file; they say what ``data`` holds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, Literal

import jsonschema_rs

Family = Literal["annotation", "batch", "file", "drift", "review", "operational"]

_SCHEMAS = files(__package__) / "schemas"
_EXAMPLES: dict[str, Any] = json.loads((_SCHEMAS / "examples.json").read_text())


@dataclass(frozen=True)
class EventType:
    """One type of event: how it is called, what it means, what it must look like."""

    name: str
    family: Family
    description: str

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the whole envelope."""
        schema: dict[str, Any] = json.loads((_SCHEMAS / f"{self.name}.schema.json").read_text())
        return schema

    @cached_property
    def validator(self) -> jsonschema_rs.Validator:
        """The schema, compiled."""
        return jsonschema_rs.validator_for(self.schema)

    @property
    def example(self) -> Mapping[str, Any]:
        """A realistic envelope."""
        example: Mapping[str, Any] = _EXAMPLES[self.name]
        return example


#: What the platform publishes.
PUBLISHED: Mapping[str, EventType] = {
    kind.name: kind
    for kind in (
        EventType("annotation.completed", "annotation", "A single annotation request finished successfully"),
        EventType("batch.completed", "batch", "A batch annotation job finished and every item was processed"),
        EventType("batch.failed", "batch", "A batch job ended with some or all items not annotated"),
        EventType("file.completed", "file", "A file upload job (CSV or JSONL) finished processing"),
        EventType("project.drift_alert", "drift", "The label distribution of a project shifted significantly"),
        EventType("review.submitted", "review", "A human reviewer submitted a correction"),
    )
}

#: What Hookline tells about itself: never published from outside, subscribed to by name only.
OPERATIONAL: Mapping[str, str] = {
    "webhook.disabled": "An endpoint of the account was disabled, with the reason",
    "delivery.failed": "A delivery of the account failed for good",
}

#: The sample of the test call.
TEST_TYPE = "webhook.test"


def known_patterns() -> frozenset[str]:
    """Everything that an endpoint's ``events`` may hold.

    >>> sorted(p for p in known_patterns() if "*" in p)
    ['*', 'annotation.*', 'batch.*', 'file.*', 'project.*', 'review.*']
    """
    families = {name.partition(".")[0] + ".*" for name in PUBLISHED}
    return frozenset(PUBLISHED) | families | frozenset(OPERATIONAL) | {"*"}
