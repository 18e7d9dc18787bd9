"""Every page on one page. What people see in a browser is no part of the API's description."""

from service.api.audit import AuditQuery
from service.api.calls import LARGE_FORM, Route
from service.api.deliveries import DeliveryQuery
from service.api.events import EventQuery
from service.api.shapes import PageQuery
from service.dashboard import (
    audit,
    bus,
    catalogue,
    dead_letters,
    debugger,
    deliveries,
    events,
    files,
    home,
    keys,
    replays,
    sign_in,
    sources,
    webhooks,
)
from service.dashboard.charts import Period

_HTML = "text/html"
_STREAM = "text/event-stream"

# fmt: off
DASHBOARD = (
    Route("GET", "/sign-in", sign_in.ask, "visitor", "The form", media=_HTML),
    Route("POST", "/sign-in", sign_in.sign_in, "anyone", "Begin a session"),
    Route("POST", "/sign-out", sign_in.sign_out, "visitor", "End it"),
    Route("GET", "/static/{file}", files.send, "anyone", "What pages are made with"),

    Route("GET", "/", home.show_home, "page", "How things are", Period, media=_HTML),
    Route("GET", "/live", home.watch, "page", "How things are, live", Period, media=_STREAM),

    Route("GET", "/deliveries", deliveries.browse, "page", "The log", DeliveryQuery, media=_HTML),
    Route("GET", "/deliveries/live", deliveries.watch, "page", "The log, live", DeliveryQuery, media=_STREAM),
    Route("GET", "/deliveries/{id}", deliveries.find, "page", "One delivery", deliveries.Said, media=_HTML),
    Route("GET", "/deliveries/{id}/live", deliveries.watch_one, "page", "One delivery, live", media=_STREAM),
    Route("POST", "/deliveries/{id}/retry", deliveries.retry, "page", "One attempt now", media=_HTML),
    Route("POST", "/deliveries/{id}/cancel", deliveries.cancel, "page", "No further attempts", media=_HTML),

    Route("GET", "/webhooks", webhooks.browse, "page", "All webhooks", webhooks.ListQuery, media=_HTML),
    Route("GET", "/webhooks/new", webhooks.new, "page", "The form of a new one", media=_HTML),
    Route("POST", "/webhooks", webhooks.create, "page", "Register one", media=_HTML),
    Route("GET", "/webhooks/{id}", webhooks.find, "page", "One webhook", webhooks.Said, media=_HTML),
    Route("GET", "/webhooks/{id}/live", webhooks.watch, "page", "How it does, live", Period, media=_STREAM),
    Route("GET", "/webhooks/{id}/edit", webhooks.edit, "page", "The form, as it is", media=_HTML),
    Route("POST", "/webhooks/{id}", webhooks.change, "page", "Change it", media=_HTML),
    Route("POST", "/webhooks/{id}/pause", webhooks.pause, "page", "Send it nothing", media=_HTML),
    Route("POST", "/webhooks/{id}/resume", webhooks.resume, "page", "Send to it again", media=_HTML),
    Route("POST", "/webhooks/{id}/test", webhooks.test, "page", "Send a signed sample", media=_HTML),
    Route("POST", "/webhooks/{id}/rotate", webhooks.rotate, "page", "Another secret", media=_HTML),
    Route("POST", "/webhooks/{id}/delete", webhooks.remove, "page", "Delete it", media=_HTML),

    Route("GET", "/keys", keys.browse, "page", "All API keys", keys.ListQuery, media=_HTML),
    Route("POST", "/keys", keys.create, "page", "Make a key", media=_HTML),
    Route("POST", "/keys/{id}/revoke", keys.revoke, "page", "Revoke it", media=_HTML),

    Route("GET", "/replays", replays.browse, "page", "All replays", PageQuery, media=_HTML),
    Route("GET", "/replays/new", replays.plan, "page", "Count what a filter finds", DeliveryQuery, media=_HTML),
    Route("POST", "/replays", replays.start, "page", "Begin to send it again", media=_HTML),
    Route("GET", "/replays/{id}", replays.find, "page", "How far one is", media=_HTML),
    Route("GET", "/replays/{id}/live", replays.watch, "page", "How far it is, live", media=_STREAM),
    Route("POST", "/replays/{id}/stop", replays.stop, "page", "Send no more of it", media=_HTML),

    Route("GET", "/events", events.browse, "page", "What came in", EventQuery, media=_HTML),
    Route("GET", "/events/live", events.watch, "page", "What comes in, live", EventQuery, media=_STREAM),
    Route("GET", "/events/{id}", events.find, "page", "One event", media=_HTML),
    Route("GET", "/events/{id}/live", events.watch_one, "page", "One event, live", media=_STREAM),

    Route("GET", "/catalogue", catalogue.browse, "page", "All types of event", media=_HTML),
    Route("GET", "/catalogue/{type}", catalogue.find, "page", "One type, its fields and a sample", media=_HTML),
    Route("POST", "/catalogue/{type}", catalogue.send, "page", "Publish a sample", media=_HTML),

    Route("GET", "/audit", audit.browse, "page", "Who changed what", AuditQuery, media=_HTML),

    Route("GET", "/sources", sources.browse, "page", "All connected annotation tools", sources.ListQuery, media=_HTML),
    Route("GET", "/sources/live", sources.watch, "page", "All of them, live", sources.ListQuery, media=_STREAM),
    Route("GET", "/sources/new", sources.ask, "page", "The form to connect one", sources.Chosen, media=_HTML),
    Route("POST", "/sources", sources.create, "page", "Connect one", media=_HTML),
    Route("GET", "/sources/{id}", sources.find, "page", "One of them", sources.Said, media=_HTML),
    Route("GET", "/sources/{id}/live", sources.watch_one, "page", "One of them, live", media=_STREAM),
    Route("GET", "/sources/{id}/edit", sources.edit, "page", "The form to change it", media=_HTML),
    Route("POST", "/sources/{id}", sources.change, "page", "Change it", media=_HTML),
    Route("POST", "/sources/{id}/check", sources.check, "page", "Ask it for little", media=_HTML),
    Route("POST", "/sources/{id}/poll", sources.poll, "page", "Poll it now", media=_HTML),
    Route("POST", "/sources/{id}/pause", sources.pause, "page", "Poll it no more, for now", media=_HTML),
    Route("POST", "/sources/{id}/resume", sources.resume, "page", "Poll it again", media=_HTML),
    Route("POST", "/sources/{id}/remove", sources.remove, "page", "Disconnect it", media=_HTML),

    Route("GET", "/bus", bus.show_bus, "operators' page", "What feeds the service", media=_HTML),
    Route("GET", "/bus/live", bus.watch, "operators' page", "What feeds it, live", media=_STREAM),

    Route("GET", "/debugger", debugger.ask, "page", "The form", debugger.Asked, media=_HTML),
    Route("POST", "/debugger", debugger.debug, "page", "Which part of a signature is wrong",
          media=_HTML, most_form=LARGE_FORM),

    Route("GET", "/dead-letters", dead_letters.browse, "operators' page", "Messages that the bus could not use",
          dead_letters.ListQuery, media=_HTML),
    Route("GET", "/dead-letters/{id}", dead_letters.find, "operators' page", "One of them", media=_HTML),
    Route("POST", "/dead-letters/{id}/requeue", dead_letters.requeue, "operators' page", "Publish it again",
          media=_HTML, most_form=LARGE_FORM),
    Route("POST", "/dead-letters/{id}/discard", dead_letters.discard, "operators' page", "Delete it", media=_HTML),
)
# fmt: on
