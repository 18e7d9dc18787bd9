"""What the service shows of itself: log lines, /metrics, /healthz and /readyz."""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.pool import QueuePool
from structlog.types import Processor

from delivery.store.engine import is_database_fault
from service.database import first_line
from service.runtime import Runtime
from service.schema import version
from service.settings import Settings, log_format

REQUESTS = Counter("hookline_http_requests_total", "HTTP requests answered", ["method", "route", "status"])
SECONDS = Histogram(
    "hookline_http_request_seconds",
    "Duration of HTTP requests",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CONNECTIONS = Gauge("hookline_database_connections", "Database connections in use", multiprocess_mode="livesum")

#: How long the database may take to say that it is there.
_PATIENCE_S = 2.0


# -- logs --------------------------------------------------------------------------------------------------------------


def set_up_logging(settings: Settings) -> None:
    """Write log lines to standard error: coloured for a terminal, or one JSON object each. Call once, at the start."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    json = log_format(settings) == "json"
    structlog.configure(
        processors=[*_shared(), *_rendering(json=json)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer)
        if json
        else structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # what libraries have to say comes out in the same form, from warnings on
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(json=json), _as_text],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    # a tick that finds its job still at work is passed over, and the next one comes: nothing to warn of
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _rendering(*, json: bool) -> list[Processor]:
    if json:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
    # plain: prettier tracebacks show local variables, and with them secrets
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def _to_json(line: object, **_: object) -> bytes:
    return orjson.dumps(line, default=str)


def _as_text(_logger: object, _method: str, line: object) -> str:
    return line.decode() if isinstance(line, bytes) else str(line)


# -- readiness ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the service needs to be able to work; ``missing`` says what is wrong with it."""

    name: str
    missing: str | None


async def checks(runtime: Runtime) -> list[Check]:
    """Look at everything that the service needs."""
    looks: dict[str, Callable[[], Awaitable[str | None]]] = {
        "database": lambda: _database(runtime),
        "bus": lambda: _bus(runtime),
        "intake": lambda: _intake(runtime),
        "ledger": lambda: _ledger(runtime),
    }
    return [Check(name, await look()) for name, look in looks.items()]


async def _database(runtime: Runtime) -> str | None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            schema = await version(runtime.store)
    except Exception as error:
        # includes the two seconds running out; anything that is no fault of the database is a fault of ours
        if not is_database_fault(error):
            raise
        return "does not answer"
    if not schema.current:
        return f"has schema {schema.found or 'none'}, this program wants {schema.wanted}; run: hookline migrate"
    return None


async def _bus(runtime: Runtime) -> str | None:
    down = [f"{consumer.name}: {consumer.why}" for consumer in runtime.bus.health() if not consumer.up]
    return "; ".join(down) or None


async def _intake(runtime: Runtime) -> str | None:
    """A database that answers may still take nothing: its disk is full, or somebody keeps it locked."""
    trouble = runtime.intake.trouble
    return f"accepts nothing: {first_line(trouble)}" if trouble else None


async def _ledger(runtime: Runtime) -> str | None:
    return "waits to write down attempts that were made" if runtime.ledger.behind else None


# -- metrics -----------------------------------------------------------------------------------------------------------


async def metrics_page(runtime: Runtime) -> tuple[bytes, str]:
    """All metrics in the text format, and its content type; of all processes where they share a folder."""
    pool = runtime.store.engine.pool
    if isinstance(pool, QueuePool):
        CONNECTIONS.set(pool.checkedout())
    # the library's own variable, which it reads by itself when it is imported
    shared = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if shared is None:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # the library has no types here
    return await asyncio.to_thread(generate_latest, registry), CONTENT_TYPE_LATEST
