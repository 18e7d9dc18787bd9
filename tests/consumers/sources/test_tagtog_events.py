"""Whether a new version of a document is a review, a model's annotation, or nothing to tell of."""

from typing import Any

import pytest

from consumers.sources.tagtog.ann import Ann
from consumers.sources.tagtog.events import Change, Look
from delivery.domain.sources import Wake
from tests.fakes.tagtog import ann, by_hand, meta, predicted
from tests.support.clock import NOON

PREDICTED, REFUSED = predicted(0, "Ada"), predicted(0, "Ada", state="pre-removed")
ACCEPTED = predicted(0, "Ada", state="", who=["ml:model-a", "user:dana"])
SIGNED = predicted(0, "Ada", who=["user:owner"])
UNSIGNED = predicted(0, "Ada", state="", who=[])


def change(before: dict[str, Any] | None, after: dict[str, Any], event: str | None = None) -> Change:
    old = None if before is None else Ann.model_validate(before)
    wake = None if event is None else Wake("d1/master", {"event": event}, NOON)
    return Change(Look("d1", "master", wake=wake), old, Ann.model_validate(after))


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (None, ann(), None),
        (None, ann(PREDICTED), "annotation"),
        (None, ann(m_2=meta("good")), "annotation"),
        (None, ann(PREDICTED, by_hand(5, "flew")), "review"),
        (None, ann(SIGNED), "review"),
        (None, ann(anncomplete=True), "review"),
        (ann(PREDICTED), ann(PREDICTED), None),
        (ann(PREDICTED), ann(PREDICTED, predicted(5, "flew")), "annotation"),
        (ann(PREDICTED), ann(predicted(0, "Ada", who=["ml:model-b"])), "annotation"),
        (ann(PREDICTED), ann(REFUSED), "review"),
        (ann(PREDICTED), ann(ACCEPTED), "review"),
        (ann(PREDICTED), ann(PREDICTED, anncomplete=True), "review"),
        (ann(PREDICTED, anncomplete=True), ann(PREDICTED, predicted(5, "flew"), anncomplete=True), "annotation"),
        (ann(PREDICTED, anncomplete=True), ann(PREDICTED), None),
        (ann(by_hand(0, "Ada")), ann(), "review"),
        (ann(by_hand(0, "Ada")), ann(by_hand(0, "Ada"), PREDICTED), "annotation"),
        (ann(by_hand(0, "Ada")), ann(predicted(5, "flew")), "annotation"),
        (ann(PREDICTED), ann(), "annotation"),
        (ann(), ann(UNSIGNED), "review"),
    ],
)
def test_who_made_what_is_new_decides_and_who_confirmed_it(
    before: dict[str, Any] | None, after: dict[str, Any], kind: str | None
) -> None:
    assert change(before, after).kind() == kind
    assert change(before, after, "updated/API").kind() == kind
    assert change(before, after, "created/GUI").kind() == kind


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (None, ann(), None),
        (None, ann(PREDICTED), "review"),
        (ann(PREDICTED), ann(PREDICTED), None),
        (ann(PREDICTED), ann(), "review"),
        (ann(PREDICTED, anncomplete=True), ann(PREDICTED), "review"),
    ],
)
def test_what_was_saved_by_hand_is_a_review_if_anything_changed(
    before: dict[str, Any] | None, after: dict[str, Any], kind: str | None
) -> None:
    assert change(before, after, "updated/GUI").kind() == kind
