"""What operators see: alive, ready, metrics, log lines."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from consumers.health import Health
from delivery.store.engine import Store
from service.observability import set_up_logging
from service.schema import Version
from service.settings import Settings
from tests.service.house import Account, House, open_house
from tests.support.receiver import Receiver


async def _too_old(_: Store) -> Version:
    return Version(found=None, wanted="0001")


async def _refuse(_: Store) -> Version:
    raise ConnectionRefusedError


async def test_a_service_that_has_everything_is_ready(house: House) -> None:
    alive = await house.stranger.get("/healthz")
    assert (alive.status, alive.body) == (200, {"status": "alive"})
    ready = await house.stranger.get("/readyz")
    assert ready.status == 200
    assert ready.body == {"status": "ready", "checks": {"database": "ok", "bus": "ok", "intake": "ok", "ledger": "ok"}}


async def test_readiness_says_what_is_missing_and_liveness_does_not_mind(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = [Health("batch", up=False, why="connection refused"), Health("file", up=True)]
    monkeypatch.setattr(house.runtime.bus, "health", lambda: down)
    house.runtime.ledger.behind = True
    monkeypatch.setattr("service.observability.version", _too_old)

    answer = await house.stranger.get("/readyz")

    assert (answer.status, answer.code, answer.body["status"]) == (503, "not_ready", "not ready")
    assert answer.body["checks"]["bus"] == "batch: connection refused"
    assert "hookline migrate" in answer.body["checks"]["database"]
    assert answer.body["checks"]["ledger"] != "ok"
    assert (await house.stranger.get("/healthz")).status == 200


async def test_a_database_that_does_not_answer_is_no_surprise(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.observability.version", _refuse)
    answer = await house.stranger.get("/readyz")
    assert (answer.status, answer.body["checks"]["database"]) == (503, "does not answer")


async def test_metrics_tell_of_events_attempts_and_requests(house: House, ada: Account, receiver: Receiver) -> None:
    await ada.key.register(receiver.url)
    await ada.key.publish()
    await house.quiet()
    await house.runtime.housekeeping.measure()
    await ada.key.get("/api/webhooks/wh_1")

    answer = await house.stranger.get("/metrics")

    assert answer.headers["Content-Type"].startswith("text/plain")
    for line in (
        'hookline_events_accepted_total{duplicate="False",type="annotation.completed"}',
        'hookline_attempts_total{result="delivered",trigger="first"}',
        'hookline_http_requests_total{method="GET",route="/api/webhooks/{id}",status="404"}',
        "hookline_attempt_seconds_bucket",
        'hookline_backlog_deliveries{state="due"}',
        'hookline_backlog_deliveries{state="sending"}',
        'hookline_backlog_deliveries{state="waiting"}',
        "hookline_oldest_due_seconds",
        "hookline_consumer_up",
        "hookline_database_connections",
    ):
        assert line in answer.body


async def test_methods_that_nobody_knows_do_not_become_labels(house: House) -> None:
    await house.stranger.call("BREW", "/api/webhooks")
    assert "BREW" not in (await house.stranger.get("/metrics")).body


async def test_a_process_without_the_api_answers_only_operators(address: str) -> None:
    async with open_house(address, roles=("worker", "scheduler")) as house:
        assert (await house.stranger.get("/healthz")).status == 200
        assert (await house.stranger.get("/readyz")).status == 200
        assert (await house.stranger.get("/metrics")).status == 200
        answer = await house.stranger.get("/api/webhooks")
        assert (answer.status, answer.code) == (404, "not_found")


# -- log lines ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def _logging() -> Iterator[None]:
    """Put everything back that a test sets up."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def _fail() -> None:
    hidden = "a local variable"
    raise ValueError(f"no {len(hidden)}")


@pytest.mark.usefixtures("_logging")
@pytest.mark.parametrize("form", ["json", "console"])
def test_log_lines_have_level_time_and_context_and_no_local_variables(
    capsys: pytest.CaptureFixture[str], form: Any
) -> None:
    set_up_logging(Settings(log_format=form))
    log = structlog.get_logger("test")
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        log.debug("not told")
        try:
            _fail()
        except ValueError:
            log.exception("something.failed", number=7)
    logging.getLogger("some.library").warning("from a library")

    text = capsys.readouterr().err
    assert "not told" not in text
    assert "ValueError: no 16" in text
    assert "a local variable" not in text.replace('hidden = "a local variable"', "")
    if form == "json":
        first, second = (json.loads(line) for line in text.splitlines())
        assert (first["event"], first["level"], first["request_id"], first["number"]) == (
            "something.failed",
            "error",
            "r1",
            7,
        )
        assert first["timestamp"].endswith("Z")
        assert (second["event"], second["level"]) == ("from a library", "warning")
