"""Every route on one page, and the application that serves them."""

import asyncio
import json
from functools import cache

from aiohttp import web

from service.api import (
    audit,
    bus,
    dead_letters,
    deliveries,
    erasures,
    event_types,
    events,
    follow,
    inbound,
    keys,
    listen,
    login,
    operations,
    publishing,
    replays,
    sources,
    stats,
    streams,
    systems,
    webhooks,
)
from service.api.calls import FORMS, NEEDS, RUNTIME, Route, serving
from service.api.docs import page
from service.api.openapi import describe
from service.api.operations import DOCS, OPENAPI
from service.api.shapes import PageQuery
from service.dashboard import debugger
from service.dashboard.routes import DASHBOARD
from service.middleware import adorn, answered, authenticated, observed
from service.runtime import Runtime

#: A thousand events of usual size, or a hundred and more of the largest.
_MOST_BATCH = 32 * 1024 * 1024

#: What the parts of a path may be.
_ID = "[A-Za-z0-9_]{1,64}"
_IN_PATHS = {"id": _ID, "source": _ID, "type": "[a-z._]{1,64}", "file": "[a-z0-9./-]+"}

#: What every process answers.
OPERATIONS = (
    Route("GET", "/healthz", operations.healthz, "anyone", "Is the process alive", gives=operations.Alive),
    Route("GET", "/readyz", operations.readyz, "anyone", "Is it able to work", gives=operations.Readiness),
    Route("GET", "/metrics", operations.metrics, "anyone", "Metrics for Prometheus", media="text/plain"),
)

# fmt: off
#: What the API answers: method, path, handler, need, summary; then what it takes (body, or query of a GET) and gives.
API = (
    Route("GET", "/api/docs", operations.docs, "anyone", "The API for people", media="text/html"),
    Route("GET", "/api/openapi.json", operations.openapi, "anyone", "The API for programs",
          gives=operations.Description),

    Route("POST", "/api/auth/login", login.log_in, "anyone", "Log in", login.Credentials, login.Session,
          refuses=(401, 429)),

    Route("GET", "/api/keys", keys.browse, "person", "List API keys", PageQuery, keys.Keys),
    Route("POST", "/api/keys", keys.create, "person", "Make an API key", keys.NewKey, keys.MadeKey, 201,
          refuses=(403,)),
    Route("DELETE", "/api/keys/{id}", keys.revoke, "person", "Revoke an API key", status=204),

    Route("GET", "/api/event-types", event_types.browse, "account", "List event types", gives=event_types.EventTypes),

    Route("POST", "/api/events", publishing.publish, "publish", "Publish an event",
          publishing.Publication, publishing.Accepted, 202, by_event=True, refuses=(429,)),
    Route("POST", "/api/events/batch", publishing.publish_batch, "publish", "Publish up to 1,000 events",
          publishing.Batch, publishing.BatchResult, most_bytes=_MOST_BATCH, by_event=True, refuses=(429,)),
    Route("GET", "/api/events", events.browse, "manage", "List events", events.EventQuery, events.Events),
    Route("GET", "/api/events/{id}", events.find, "manage", "Show an event", gives=events.EventInFull),
    Route("GET", "/api/listen", listen.listen, "manage", "Stream events as signed deliveries",
          listen.ListenQuery, listen.Heard, media="text/event-stream", refuses=(422,)),

    Route("GET", "/api/webhooks", webhooks.browse, "manage", "List webhooks", PageQuery, webhooks.Webhooks),
    Route("POST", "/api/webhooks", webhooks.create, "manage", "Register a webhook",
          webhooks.NewWebhook, webhooks.WebhookWithSecret, 201, refuses=(422, 429)),
    Route("GET", "/api/webhooks/{id}", webhooks.find, "manage", "Show a webhook", gives=webhooks.Webhook),
    Route("PATCH", "/api/webhooks/{id}", webhooks.change, "manage", "Change a webhook",
          webhooks.WebhookChanges, webhooks.Webhook, refuses=(422,)),
    Route("DELETE", "/api/webhooks/{id}", webhooks.remove, "manage", "Delete a webhook", status=204),
    Route("POST", "/api/webhooks/{id}/rotate", webhooks.rotate, "manage", "Rotate the signing secret",
          webhooks.Rotation, webhooks.WebhookWithSecret, refuses=(422,)),
    Route("POST", "/api/webhooks/{id}/test", webhooks.test, "manage", "Send a signed sample now",
          gives=webhooks.TestAttempt, refuses=(409,)),
    Route("GET", "/api/webhooks/{id}/deliveries", webhooks.show_log, "manage", "List a webhook's deliveries",
          deliveries.OfWebhookQuery, deliveries.Deliveries),

    Route("GET", "/api/deliveries", deliveries.browse, "manage", "List deliveries",
          deliveries.DeliveryQuery, deliveries.Deliveries),
    Route("GET", "/api/deliveries/stream", follow.follow, "manage", "Stream deliveries as they are made and change",
          follow.FollowQuery, deliveries.Delivery, media="text/event-stream"),
    Route("GET", "/api/deliveries/{id}", deliveries.find, "manage", "Show a delivery and its attempts",
          gives=deliveries.DeliveryInFull),
    Route("POST", "/api/deliveries/{id}/retry", deliveries.retry, "manage", "Make one attempt now",
          gives=deliveries.Delivery, status=202, refuses=(409,)),
    Route("POST", "/api/deliveries/{id}/cancel", deliveries.cancel, "manage", "End a delivery that has not ended",
          gives=deliveries.Delivery, refuses=(409,)),

    Route("GET", "/api/replays", replays.browse, "manage", "List replays", PageQuery, replays.Replays),
    Route("POST", "/api/replays", replays.start, "manage", "Send once more what a filter finds, or count it",
          replays.NewReplay, replays.PlannedReplay, 202),
    Route("GET", "/api/replays/{id}", replays.find, "manage", "Show how far a replay is",
          gives=replays.ReplayInFull),
    Route("DELETE", "/api/replays/{id}", replays.stop, "manage", "Stop a replay", gives=replays.Replay,
          refuses=(409,)),

    Route("POST", "/api/erasures", erasures.erase, "manage", "Erase what is kept of a job or a person, or count it",
          erasures.NewErasure, erasures.Erasure, refuses=(404,)),

    Route("GET", "/api/stats", stats.report, "manage", "Rates, success, latency and backlog",
          stats.StatsQuery, stats.Stats, refuses=(404, 422)),

    Route("GET", "/api/audit", audit.browse, "manage", "List what was changed, and by whom",
          audit.AuditQuery, audit.AuditTrail),

    Route("GET", "/api/dead-letters", dead_letters.browse, "operate", "List dead letters",
          PageQuery, dead_letters.DeadLetters),
    Route("GET", "/api/dead-letters/{id}", dead_letters.find, "operate", "Show a dead letter",
          gives=dead_letters.DeadLetterInFull),
    Route("POST", "/api/dead-letters/{id}/requeue", dead_letters.requeue, "operate", "Publish a dead letter again",
          dead_letters.Requeue, status=202),
    Route("DELETE", "/api/dead-letters/{id}", dead_letters.discard, "operate", "Delete a dead letter", status=204),

    Route("GET", "/api/systems", systems.browse, "account", "List what can be connected as a source",
          gives=systems.Systems),
    Route("GET", "/api/sources", sources.browse, "manage", "List connected annotation tools", PageQuery,
          sources.Sources),
    Route("POST", "/api/sources", sources.create, "manage", "Connect an annotation tool",
          sources.NewSource, sources.Source, 201, refuses=(403, 422, 429)),
    Route("GET", "/api/sources/{id}", sources.find, "manage", "Show a source", gives=sources.Source),
    Route("PATCH", "/api/sources/{id}", sources.change, "manage", "Change a source",
          sources.SourceChanges, sources.Source, refuses=(422,)),
    Route("DELETE", "/api/sources/{id}", sources.remove, "manage", "Disconnect a source", status=204),
    Route("POST", "/api/sources/{id}/check", sources.check, "manage", "Try a source out, now",
          gives=sources.Finding),
    Route("POST", "/api/sources/{id}/poll", sources.poll, "manage", "Poll a source as soon as can be",
          gives=sources.Source, status=202, refuses=(409,)),
    Route("POST", "/api/inbound/{source}", inbound.hear, "anyone", "Take what an annotation tool says of itself",
          status=204, refuses=(401, 404)),

    Route("GET", "/api/bus", bus.browse, "operate", "Show what feeds the service, and what is wrong with it",
          gives=bus.Bus),
)
# fmt: on


def build_app(runtime: Runtime) -> web.Application:
    """Make the application that the roles of this process call for: the API, or only what operators ask."""
    routes = (*OPERATIONS, *API, *DASHBOARD) if "api" in runtime.roles else OPERATIONS
    app = web.Application(middlewares=[observed, answered, authenticated])
    app[RUNTIME] = runtime
    app[NEEDS], app[FORMS] = {}, {}
    for route in routes:
        handler = serving(route)
        app[NEEDS][handler], app[FORMS][handler] = route.need, route.most_form
        app.router.add_route(route.method, _narrowed(route.path), handler)
    app[OPENAPI], app[DOCS] = _descriptions()
    app[streams.CLOSING] = asyncio.Event()
    app[debugger.AT_WORK] = asyncio.Lock()
    app.on_shutdown.append(_close)
    app.on_response_prepare.append(adorn)
    return app


def _narrowed(path: str) -> str:
    """Ids are letters, digits and underscores, types have full stops; everything else is no route at all."""
    for name, pattern in _IN_PATHS.items():
        path = path.replace(f"{{{name}}}", f"{{{name}:{pattern}}}")
    return path


@cache
def _descriptions() -> tuple[bytes, str]:
    """What the routes are, for programs and for people."""
    document = describe((*OPERATIONS, *API))
    return json.dumps(document).encode(), page(document)


async def _close(app: web.Application) -> None:
    app[streams.CLOSING].set()
