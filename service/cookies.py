"""A browser's session: the cookie that carries its token, and the proof that a change was asked for by a page of ours.

A browser sends cookies with whatever it sends here, and any page of the web can make it send something. So what came
with a cookie may read, and may change something only if the browser says that our own page asked (``Sec-Fetch-Site``,
or ``Origin`` where a browser does not know that) and if it brings the token that only our own pages can read.
"""

from hmac import compare_digest
from urllib.parse import urlsplit

from aiohttp import web

from service.credentials import Forbidden
from service.tokens import SESSION

_NAME = "hookline-session"

#: Where the proof is looked for: a header, or a field of a form.
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def read_session(request: web.Request, *, https: bool) -> str | None:
    """The token that the browser brings."""
    return request.cookies.get(_name(https=https))


def keep_session(response: web.StreamResponse, token: str, *, https: bool) -> None:
    """Let the browser keep a token, out of reach of scripts and of other sites."""
    response.set_cookie(
        _name(https=https),
        token,
        max_age=int(SESSION.total_seconds()),
        path="/",
        secure=https,
        httponly=True,
        samesite="Lax",
    )


def drop_session(response: web.StreamResponse, *, https: bool) -> None:
    """Let the browser forget it."""
    response.del_cookie(_name(https=https), path="/", secure=https, httponly=True, samesite="Lax")


def _name(*, https: bool) -> str:
    """Over TLS a name that browsers take only from this very host, so that no neighbour can plant a session."""
    return f"__Host-{_NAME}" if https else _NAME


def refuse_other_sites(request: web.Request) -> None:
    """Refuse what a page of another site made a browser send. Programs say nothing of a site, and are not browsers.

    Raises:
        Forbidden: ``cross_site``.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        ours = site in ("same-origin", "none")
    else:
        ours = origin is None or urlsplit(origin).netloc == request.host
    if not ours:
        raise Forbidden("cross_site", "A page of another site has asked for this")


def refuse_forged(request: web.Request, expected: str | None, shown: str) -> None:
    """Refuse a change that came with a cookie, unless a page of ours asked for it.

    Raises:
        Forbidden: ``cross_site`` or ``csrf_token``.
    """
    if "Sec-Fetch-Site" not in request.headers and "Origin" not in request.headers:
        raise Forbidden("cross_site", "With a cookie, a change wants the header Sec-Fetch-Site or Origin")
    refuse_other_sites(request)
    if expected is None or not compare_digest(expected.encode(), shown.encode(errors="replace")):
        raise Forbidden("csrf_token", f"With a cookie, a change wants the page's token in {CSRF_HEADER}")


def is_change(request: web.Request) -> bool:
    """Whether a request may change something."""
    return request.method not in _SAFE
