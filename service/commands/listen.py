"""`hookline listen`: develop a receiver without a public address."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from service.commands.examples import examples
from service.commands.printing import print_json, print_row
from service.commands.situation import Caller, may_call_api
from service.stopping import until_stopped

if TYPE_CHECKING:
    import aiohttp

    from service.client import Api
    from service.receiver import Received

_COLUMNS = ("TIME", "EVENT", "JOB", "ATTEMPT", "SIGNATURE", "ANSWER")
_WIDTHS = (8, 20, 24, 7, 11, 0)
_SIGNATURE = {True: "verified", False: "WRONG", None: "not checked"}

#: Headers of one connection, which are not handed on to the next.
_OF_THE_CONNECTION = frozenset({"host", "content-length", "connection", "transfer-encoding"})
_FORWARD_PATIENCE_S = 30.0

#: How many events are remembered, so that none is shown twice: more than come in the overlap of two connections.
_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class _Answered:
    """What the local receiver said and after how long; status None: nothing, for this reason."""

    status: int | None
    ms: float | None = None
    why: str | None = None

    @property
    def line(self) -> str:
        if self.status is None:
            return f"no answer: {self.why}"
        return str(self.status) if self.ms is None else f"{self.status} in {self.ms:.0f} ms"


class _LocalUrl(click.ParamType[str]):
    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from urllib.parse import urlsplit

        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            self.fail(f"{value!r} is no address like http://127.0.0.1:3000/webhooks", param, ctx)
        return value


@examples(
    "hookline listen --forward http://127.0.0.1:3000/webhooks",
    "hookline listen --events 'batch.*,file.completed' --secret your-webhook-signing-secret",
    "hookline listen --port 9000 --secret your-webhook-signing-secret",
)
@click.command()
@click.option("--events", metavar="E,…", help="Types, families (batch.*) or *; default all.")
@click.option(
    "--forward",
    type=_LocalUrl(),
    metavar="URL",
    help="Post each to this local address, byte for byte.",
)
@click.option("--secret", metavar="S", help="The secret to sign and verify with; default a new one.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="P", help="Be a plain local receiver on this port.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@may_call_api
def listen(  # noqa: PLR0913 - one argument per option
    caller: Caller | None,
    events: str | None,
    forward: str | None,
    secret: str | None,
    port: int | None,
    *,
    as_json: bool,
) -> None:
    """Show events as signed deliveries, as they happen.

    The account's events come from the service over this connection, until Ctrl-C: no public address and no tunnel is
    needed. With --forward each is posted to a local address, byte for byte and with the headers of a delivery; a
    server that is down or says no is shown and holds nothing up. A connection that is cut is made again, and nothing
    is left out.

    With --port nothing is asked of the service; what is posted to the port is shown and verified.
    """
    if port is not None:
        if events or forward:
            raise click.UsageError("--port receives what is posted to it; --events and --forward go without it")
        asyncio.run(until_stopped(_receive(port, secret, as_json=as_json)))
        return
    if caller is None:
        raise click.UsageError("An API key is needed: --api-key or HOOKLINE_API_KEY")
    follow = _Listener(events, forward, secret, as_json=as_json)
    asyncio.run(until_stopped(caller.calling(follow.listen)))


class _Listener:
    """Follows the service's stream."""

    def __init__(self, events: str | None, forward: str | None, secret: str | None, *, as_json: bool) -> None:
        self._events = events
        self._forward = forward
        self._secret = secret
        self._headers = {"X-Listen-Secret": secret} if secret else {}
        self._as_json = as_json
        self._greeted = False
        self._heard: dict[str, None] = {}

    async def listen(self, api: "Api") -> None:
        """Show what comes, each event once, over as many connections as it takes."""
        import aiohttp

        from service.commands.streaming import lasting
        from service.receiver import read_delivery

        timeout = aiohttp.ClientTimeout(total=_FORWARD_PATIENCE_S)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            async for message in lasting(api, "/api/listen", self._headers, events=self._events):
                if "body" not in message:
                    self._greet(message)
                elif self._is_new(message["headers"]["webhook-id"]):
                    received = read_delivery(message["headers"], message["body"].encode(), self._secret)
                    answered = await _forward(session, self._forward, received) if self._forward else None
                    _show(received, answered, as_json=self._as_json)

    def _greet(self, hello: Mapping[str, Any]) -> None:
        """Take note of the secret that the service made, where none was given; the next connection keeps it."""
        if self._greeted:
            return
        self._greeted = True
        self._secret = self._secret or hello["secret"]
        assert self._secret is not None
        self._headers["X-Listen-Secret"] = self._secret
        if self._as_json:
            return
        to = f", forwarding to {self._forward}" if self._forward else ""
        click.echo(f"Listening to {', '.join(hello['events'])}{to}; signed with {self._secret}")
        print_row(_COLUMNS, _WIDTHS)

    def _is_new(self, event_id: str) -> bool:
        if event_id in self._heard:
            return False
        self._heard[event_id] = None
        if len(self._heard) > _REMEMBERED:
            del self._heard[next(iter(self._heard))]
        return True


async def _receive(port: int, secret: str | None, *, as_json: bool) -> None:
    """Be a receiver."""
    from service.receiver import judge, receiving

    def answer(received: "Received") -> int:
        status = judge(received)
        _show(received, _Answered(status), as_json=as_json)
        return status

    async with receiving("127.0.0.1", port, secret=secret, answer=answer) as url:
        if not as_json:
            click.echo(f"Receiving on {url}")
            print_row(_COLUMNS, _WIDTHS)
        await asyncio.Event().wait()


async def _forward(session: "aiohttp.ClientSession", url: str, received: "Received") -> _Answered:
    import aiohttp

    headers = {name: value for name, value in received.headers.items() if name.lower() not in _OF_THE_CONNECTION}
    headers["Accept-Encoding"] = "identity"  # as every delivery has it
    started = time.perf_counter()
    try:
        async with session.post(url, data=received.body, headers=headers, allow_redirects=False) as response:
            await response.read()
            return _Answered(response.status, round((time.perf_counter() - started) * 1000, 1))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:  # shown: the next event may find the receiver up
        return _Answered(None, why=str(error) or type(error).__name__)


def _show(received: "Received", answered: _Answered | None, *, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(received, answered))
        return
    cells = [
        time.strftime("%H:%M:%S"),
        received.event,
        received.job_id,
        str(received.attempt),
        _SIGNATURE[received.verified],
        answered.line if answered else "",
    ]
    print_row(cells, _WIDTHS)


def _as_json(received: "Received", answered: _Answered | None) -> Mapping[str, Any]:
    return {
        "event": received.event,
        "delivery_id": received.delivery_id,
        "job_id": received.job_id,
        "attempt": received.attempt,
        "verified": received.verified,
        "answer": answered.status if answered else None,
        "answer_ms": answered.ms if answered else None,
        "no_answer": answered.why if answered else None,
        "headers": dict(received.headers),
        "body": received.body.decode(errors="replace"),
    }
