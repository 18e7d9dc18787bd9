"""What annotation tools say of themselves: kept as a hint, looked into by polling."""

from consumers.sources.connector import Push
from service.api.calls import Call, received

#: As large as an event may be: no tool sends more than one document's annotations.
_MOST_BYTES = 256 * 1024


async def hear(call: Call[None]) -> None:
    """Take it in, if it proves that it comes from the source's system."""
    body = await received(call.request, _MOST_BYTES)
    headers = {name.lower(): value for name, value in call.request.headers.items()}
    await call.runtime.sources.hear(call.request.match_info["source"], Push(headers, body))
