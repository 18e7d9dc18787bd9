"""Every page on one page. What people see in a browser is no part of the API's description."""

from service.api.calls import Route
from service.api.deliveries import DeliveryQuery
from service.api.shapes import PageQuery
from service.dashboard import deliveries, files, home, replays, sign_in

_HTML = "text/html"
_STREAM = "text/event-stream"

# fmt: off
DASHBOARD = (
    Route("GET", "/sign-in", sign_in.ask, "visitor", "The form", media=_HTML),
    Route("POST", "/sign-in", sign_in.sign_in, "anyone", "Begin a session"),
    Route("POST", "/sign-out", sign_in.sign_out, "visitor", "End it"),
    Route("GET", "/static/{file}", files.send, "anyone", "What pages are made with"),

    Route("GET", "/", home.show_home, "page", "How things are", home.Period, media=_HTML),
    Route("GET", "/live", home.watch, "page", "How things are, live", home.Period, media=_STREAM),

    Route("GET", "/deliveries", deliveries.browse, "page", "The log", DeliveryQuery, media=_HTML),
    Route("GET", "/deliveries/live", deliveries.watch, "page", "The log, live", DeliveryQuery, media=_STREAM),
    Route("GET", "/deliveries/{id}", deliveries.find, "page", "One delivery", deliveries.Said, media=_HTML),
    Route("GET", "/deliveries/{id}/live", deliveries.watch_one, "page", "One delivery, live", media=_STREAM),
    Route("POST", "/deliveries/{id}/retry", deliveries.retry, "page", "One attempt now", media=_HTML),
    Route("POST", "/deliveries/{id}/cancel", deliveries.cancel, "page", "No further attempts", media=_HTML),

    Route("GET", "/replays", replays.browse, "page", "All replays", PageQuery, media=_HTML),
    Route("GET", "/replays/new", replays.plan, "page", "Count what a filter finds", DeliveryQuery, media=_HTML),
    Route("POST", "/replays", replays.start, "page", "Begin to send it again", media=_HTML),
    Route("GET", "/replays/{id}", replays.find, "page", "How far one is", media=_HTML),
    Route("GET", "/replays/{id}/live", replays.watch, "page", "How far it is, live", media=_STREAM),
    Route("POST", "/replays/{id}/stop", replays.stop, "page", "Send no more of it", media=_HTML),
)
# fmt: on
