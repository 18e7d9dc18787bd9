"""The headers that every answer has: what a browser may do with it, and what nobody may keep."""

from collections.abc import Mapping

from aiohttp import web

_ALWAYS: Mapping[str, str] = {
    "Server": "Hookline",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

#: An answer for programs is no page: were it opened as one, it may load and do nothing.
_FOR_PROGRAMS = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

#: A page has what this service serves as files, and nothing that stands in the page itself or comes from elsewhere.
_FOR_PAGES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

_YEAR_S = 31_536_000


def protect(response: web.StreamResponse, *, https: bool) -> None:
    """Set them. An answer that says how long it may be kept has thought about it; no other one may be."""
    response.headers.update(_ALWAYS)
    page = response.content_type == "text/html"
    response.headers["Content-Security-Policy"] = _FOR_PAGES if page else _FOR_PROGRAMS
    response.headers.setdefault("Cache-Control", "no-store")
    if https:
        response.headers["Strict-Transport-Security"] = f"max-age={_YEAR_S}"
