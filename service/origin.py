"""Where a request comes from. What a proxy adds is believed of the proxies in the settings, and of nobody else."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import web

Networks = Sequence[IPv4Network | IPv6Network]


def client_address(request: web.Request, proxies: Networks) -> str | None:
    """The address of the client: the nearest hop that is none of our proxies."""
    nearest = _address(request.remote or "")
    for hop in _hops(request):
        # what a proxy of ours did not write as an address ends the search: what stands before it is the client's word
        if nearest is None or hop is None or not _is_ours(nearest, proxies):
            break
        nearest = hop
    return str(nearest) if nearest is not None else None


def over_https(request: web.Request, proxies: Networks) -> bool:
    """Whether the client speaks TLS, with us or with a proxy of ours."""
    peer = _address(request.remote or "")
    if peer is not None and _is_ours(peer, proxies):
        return request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower() == "https"
    return request.secure


def _hops(request: web.Request) -> Iterator[IPv4Address | IPv6Address | None]:
    """What each proxy saw, the nearest one's word first."""
    words = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    return (_address(word.strip()) for word in reversed(words))


def _is_ours(address: IPv4Address | IPv6Address, proxies: Networks) -> bool:
    return any(address in network for network in proxies)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:  # a socket without an address, or a header that anybody may have written
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
