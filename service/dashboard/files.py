"""The files that pages use: served from the package, kept by browsers until they change."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from aiohttp import web

from delivery.domain.errors import NotFound
from service.api.calls import Call

#: Their addresses hold a digest of what is in them, so they may be kept for a year.
_KEPT_S = 31_536_000

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


async def send(call: Call[None]) -> web.Response:
    """A file; without its digest in the address it is kept for no longer than a visit."""
    name = call.request.match_info["file"]
    found = _files().get(name)
    if found is None:
        raise NotFound("file")
    kept = f"public, max-age={_KEPT_S}, immutable" if "v" in call.request.query else "no-cache"
    body, media = found
    return web.Response(body=body, content_type=media, charset="utf-8", headers={"Cache-Control": kept})


@cache
def address_of(name: str) -> str:
    """Where a page finds a file.

    >>> address_of("hookline.css")[:23]
    '/static/hookline.css?v='
    """
    body, _ = _files()[name]
    return f"/static/{name}?v={sha256(body).hexdigest()[:12]}"


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """Every file by its name, with its type; what has no type of these is for readers of the code."""
    root = files("service.dashboard").joinpath("static")
    found = [*_below(root, ""), *_below(root.joinpath("vendor"), "vendor/")]
    return {name: (one.read_bytes(), _TYPES[_ending(name)]) for name, one in found if _ending(name) in _TYPES}


def _below(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    return [(prefix + one.name, one) for one in folder.iterdir() if one.is_file()]


def _ending(name: str) -> str:
    return name[name.rfind(".") :]
