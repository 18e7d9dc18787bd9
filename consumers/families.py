"""What comes in by which queue: the names of the contract, and the five families on one page."""

import asyncio
from collections.abc import Sequence

from consumers.consumer import Consumer, Rejection, Verdict
from consumers.health import Board
from consumers.wire import Message
from delivery.intake import Intake

EVENTS = "hookline.events"
UNROUTED = "hookline.unrouted"
DEAD = "hookline.dead"
DEAD_LETTERS = "hookline.dead-letters"
DEAD_LETTERS_STORE = "hookline.dead-letters.store"


class AnnotationConsumer(Consumer):
    """Single annotations: small, and by far the most."""

    family = "annotation"
    binding = "annotation.#"
    prefetch = 1000


class BatchConsumer(Consumer):
    """Ends of batches: they list their items, so they can be large."""

    family = "batch"
    binding = "batch.#"
    prefetch = 200


class FileConsumer(Consumer):
    """Ends of file jobs."""

    family = "file"
    binding = "file.#"
    prefetch = 200


class DriftConsumer(Consumer):
    """Drift alerts: a handful a day."""

    family = "drift"
    binding = "project.drift_alert"
    prefetch = 100


class ReviewConsumer(Consumer):
    """Corrections by people: they come in bursts when a reviewer's work is synchronised."""

    family = "review"
    binding = "review.#"
    prefetch = 500


FAMILIES: tuple[type[Consumer], ...] = (
    AnnotationConsumer,
    BatchConsumer,
    FileConsumer,
    DriftConsumer,
    ReviewConsumer,
)


class UnroutedConsumer:
    """Sends back what no family wants: a publisher's mistake must be seen, not lost."""

    name = "unrouted"
    queue = UNROUTED
    prefetch = 100

    async def ready(self, until: asyncio.Event) -> None:
        """Be ready: this needs nobody."""

    async def take(self, messages: Sequence[Message], until: asyncio.Event) -> Sequence[Verdict]:  # noqa: ARG002 - needs no database
        """Reject all."""
        return [
            Rejection("invalid_event_type", f'No event type has the routing key "{message.routing_key[:64]}"')
            for message in messages
        ]


def consumers(intake: Intake, board: Board) -> tuple[Consumer, ...]:
    """One consumer per family."""
    return tuple(consumer(intake, board) for consumer in FAMILIES)
