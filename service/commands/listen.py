"""`hookline listen`: develop a receiver without a public address."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

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


@dataclass(frozen=True, slots=True)
class _Answered:
    """What the local receiver said; status None: nothing, for the reason in ``text``."""

    status: int | None
    text: str

    @property
    def line(self) -> str:
        return self.text if self.status is None else f"{self.status} {self.text}".rstrip()


@click.command()
@click.option("--events", metavar="E,…", help="Types, families (batch.*) or *; default all.")
@click.option("--forward", metavar="URL", help="Post each to this local address, with the same headers and bytes.")
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

    The account's events come from the service over this connection, until Ctrl-C: no public address is needed. With
    --port nothing is asked of the service; what is posted to the port is shown and verified.
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
        self._as_json = as_json

    async def listen(self, api: "Api") -> None:
        """Show what comes, until the service ends the stream."""
        import aiohttp

        from service.receiver import read_delivery

        timeout = aiohttp.ClientTimeout(total=_FORWARD_PATIENCE_S)
        headers = {"X-Listen-Secret": self._secret} if self._secret else {}
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            async for message in api.stream("/api/listen", headers, events=self._events):
                if "body" not in message:
                    self._greet(message)
                    continue
                received = read_delivery(message["headers"], message["body"].encode(), self._secret)
                answered = await _forward(session, self._forward, received) if self._forward else None
                _show(received, answered, as_json=self._as_json)
        raise click.ClickException("The service has ended the stream")

    def _greet(self, hello: Mapping[str, Any]) -> None:
        """Take note of the secret that the service made, where none was given."""
        self._secret = self._secret or hello["secret"]
        if self._as_json:
            return
        click.echo(f"Listening to {', '.join(hello['events'])}; signed with {self._secret}")
        print_row(_COLUMNS, _WIDTHS)


async def _receive(port: int, secret: str | None, *, as_json: bool) -> None:
    """Be a receiver."""
    from service.receiver import judge, receiving

    def answer(received: "Received") -> int:
        status = judge(received)
        _show(received, _Answered(status, ""), as_json=as_json)
        return status

    async with receiving("127.0.0.1", port, secret=secret, answer=answer) as url:
        if not as_json:
            click.echo(f"Receiving on {url}")
            print_row(_COLUMNS, _WIDTHS)
        await asyncio.Event().wait()


async def _forward(session: "aiohttp.ClientSession", url: str, received: "Received") -> _Answered:
    import aiohttp

    headers = {name: value for name, value in received.headers.items() if name.lower() not in _OF_THE_CONNECTION}
    started = time.perf_counter()
    try:
        async with session.post(url, data=received.body, headers=headers, allow_redirects=False) as response:
            await response.read()
            return _Answered(response.status, f"in {(time.perf_counter() - started) * 1000:.0f} ms")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:  # shown: the next event may find the receiver up
        return _Answered(None, f"no answer: {str(error) or type(error).__name__}")


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
        "headers": dict(received.headers),
        "body": received.body.decode(errors="replace"),
    }
