"""Attempts, as the log shows them."""

from collections.abc import Mapping

from pydantic import Field

from delivery.domain import model
from delivery.domain.model import ErrorClass, Trigger
from service.api.shapes import Encoding, Moment, Shape, by_name, legible


class SentRequest(Shape):
    """What was sent: these headers, and exactly this body."""

    url: str
    headers: Mapping[str, str]
    body: str


class Response(Shape):
    """What came back: ``body`` is the first 16 KiB; ``encoding`` says whether it is text or base64 of the bytes."""

    status: int
    headers: Mapping[str, str]
    body: str
    encoding: Encoding
    truncated: bool


class Failure(Shape):
    """Why it is no success."""

    class_: ErrorClass = Field(alias="class")
    message: str


class Timings(Shape):
    """Where the time went, in milliseconds; null: that step was not taken or not reached."""

    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    first_byte_ms: float | None
    total_ms: float


class Attempt(Shape):
    """One request that was made."""

    number: int
    trigger: Trigger
    started_at: Moment
    duration_ms: float
    request: SentRequest
    response: Response | None
    error: Failure | None
    timings: Timings
    remote_address: str | None


def attempt_shape(attempt: model.Attempt, body: bytes) -> Attempt:
    """Show an attempt. Every attempt of a delivery sends the same body."""
    outcome = attempt.outcome
    timings = {name: getattr(outcome.timings, name) for name in Timings.model_fields}
    failure = outcome.failure
    return Attempt(
        number=attempt.number,
        trigger=attempt.trigger,
        started_at=attempt.started_at,
        duration_ms=outcome.timings.total_ms,
        request=SentRequest(url=outcome.url, headers=outcome.headers, body=body.decode()),
        response=_response(outcome.answer) if outcome.answer else None,
        error=Failure(class_=failure.error, message=failure.message) if failure else None,
        timings=Timings(**timings),
        remote_address=outcome.remote_address,
    )


def _response(answer: model.Answer) -> Response:
    body, encoding = legible(answer.body, truncated=answer.truncated)
    return Response(
        status=answer.status,
        headers=by_name(answer.headers),
        body=body,
        encoding=encoding,
        truncated=answer.truncated,
    )
