"""Telling what happens: one call makes the log line and moves the counters.

The name of a fact is the same in the log, in the metrics and in the code: ``tell("delivery.attempted", …)`` writes a
line with that ``event`` and observes the metrics that the table below ties to it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram

_log = structlog.get_logger("hookline")

ACCEPTED = Counter("hookline_events_accepted_total", "Events accepted", ["type", "duplicate"])
DEAD = Counter("hookline_dead_letters_total", "Messages that the bus could not use", ["reason"])
ATTEMPTS = Counter("hookline_attempts_total", "Requests made to endpoints", ["trigger", "result"])
FINISHED = Counter("hookline_deliveries_finished_total", "Deliveries that came to an end", ["status"])
LATENCY = Histogram(
    "hookline_attempt_seconds",
    "Duration of requests to endpoints",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
DELAY = Histogram(
    "hookline_accept_to_delivered_seconds",
    "From acceptance to a 2xx, for deliveries that succeeded",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 60, 600, 3600, 43200),
)
BACKLOG = Gauge(
    "hookline_backlog_deliveries",
    "Deliveries being sent, due, and waiting for their time; 10,000 are counted at the most",
    ["state"],
    multiprocess_mode="mostrecent",
)
OLDEST = Gauge("hookline_oldest_due_seconds", "How long the oldest due delivery waits", multiprocess_mode="mostrecent")
IN_HAND = Gauge("hookline_deliveries_in_hand", "Deliveries leased to this process", multiprocess_mode="livesum")
CONSUMING = Gauge("hookline_consumer_up", "1 while the consumer is at work", ["family"], multiprocess_mode="livemin")
POLLS = Counter("hookline_source_polls_total", "Polls of annotation systems", ["system", "result"])
SOURCES = Gauge("hookline_sources", "Connected annotation systems", ["state"], multiprocess_mode="mostrecent")


def _attempted(facts: Mapping[str, Any]) -> None:
    ATTEMPTS.labels(facts["trigger"], facts["result"]).inc()
    LATENCY.observe(facts["duration_ms"] / 1000)


def _finished(facts: Mapping[str, Any]) -> None:
    FINISHED.labels(facts["status"]).inc()
    if facts["status"] == "delivered":
        DELAY.observe(facts["after_s"])


_METRICS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "event.accepted": lambda facts: ACCEPTED.labels(facts["type"], facts["duplicate"]).inc(),
    "event.refused": lambda facts: DEAD.labels(facts["code"]).inc(),
    "delivery.attempted": _attempted,
    "delivery.finished": _finished,
    "source.polled": lambda facts: POLLS.labels(facts["system"], facts["result"]).inc(),
}


def tell(fact: str, /, **facts: Any) -> None:
    """Say that something happened: ids and plain values only, never a secret, never a payload."""
    observe = _METRICS.get(fact)
    if observe is not None:
        observe(facts)
    _log.info(fact, **facts)


def warn(fact: str, /, **facts: Any) -> None:
    """Say that something went wrong that somebody may have to look at."""
    _log.warning(fact, **facts)
