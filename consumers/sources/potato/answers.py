"""What a Potato answers, as far as it is of use to us.

Shapes leave out whatever else is there: annotators' addresses and browsers among it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

#: States by item, each a flat map.
States = Mapping[str, Mapping[str, Any]]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class Config(_Shape):
    """What the project is called."""

    annotation_task_name: str = "Potato"


class Figures(_Shape):
    """How much there is."""

    total_items: int
    total_users: int


class Overview(_Shape):
    """``/admin/api/overview``."""

    config: Config
    overview: Figures


class Annotator(_Shape):
    """Somebody who has an account; the other members say nothing that can be relied on."""

    user_id: str


class Annotators(_Shape):
    """``/admin/api/annotators``."""

    annotators: Sequence[Annotator]


class Action(_Shape):
    """Something that a user did. ``timestamp`` is the server's local time, without its zone."""

    action_id: str
    instance_id: str
    timestamp: str
    server_processing_time_ms: float | None = 0


class History(_Shape):
    """``/admin/api/annotation_history`` of a user: of ``total_actions`` the last 100, in the order of time."""

    total_actions: int = Field(ge=0)
    actions: Sequence[Action]


class Item(_Shape):
    """A text to be annotated."""

    id: str
    text: str


class Instances(_Shape):
    """``/admin/all_instances``."""

    items: Sequence[Item]


class Pagination(_Shape):
    """How many there are in all pages."""

    total_instances: int


class Page(_Shape):
    """``/admin/api/instances``, of which only the number is of use."""

    pagination: Pagination


class ByInstance(_Shape):
    """Flat maps of labels and spans, by item."""

    by_instance: Mapping[str, Mapping[str, Any]]


class UserState(_Shape):
    """``/admin/user_state/{user}``."""

    annotations: ByInstance


class Scheme(_Shape):
    """A question that is asked of each item."""

    name: str
    annotation_type: str


class Schemes(_Shape):
    """All of them."""

    annotation_schemes: Sequence[Scheme]


class SystemState(_Shape):
    """``/admin/system_state``."""

    config: Schemes


class Adjudication(_Shape):
    """``/admin/api/adjudication``: counts only."""

    enabled: bool = False
    queue_stats: Mapping[str, Any] = Field(default_factory=dict)


class Decision(_Shape):
    """What an adjudicator decided. ``timestamp`` is local time, as in an action."""

    instance_id: str
    adjudicator_id: str
    timestamp: str
    label_decisions: Mapping[str, Any] = Field(default_factory=dict)
    span_decisions: Sequence[Mapping[str, Any]] = ()
    source: Mapping[str, str] = Field(default_factory=dict)
    notes: str | None = ""
    time_spent_ms: float | None = 0


class Decisions(_Shape):
    """``adjudication/decisions.json`` of the archive."""

    decisions: Sequence[Decision]


class Queued(_Shape):
    """An item that is decided."""

    instance_id: str


class Queue(_Shape):
    """``/adjudicate/api/queue``."""

    items: Sequence[Queued]


class Decided(_Shape):
    """``/adjudicate/api/item/{id}``: a decision, if there is one."""

    decision: Decision | None
