"""Memory stays flat, whatever comes back: measured in a process of its own, against attempts to a healthy receiver."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from tests.delivery.receivers import Conversation, receiving, saying
from tests.hostile.answers import CHUNKED, HEAD, bomb, hanging, with_length

#: A sixteenth of one body of 1 GB would be 64 MB, and 16 are read at a time.
MOST_GROWTH_KB = 5 * 1024

_ROOT = Path(__file__).parents[2]

FLOODS: dict[str, Conversation] = {
    "a body of 1 GB": saying(HEAD + b"Content-Length: 1000000000\r\n\r\n", forever=b"x" * 65536),
    "a body without end": saying(CHUNKED, forever=b"10000\r\n" + b"x" * 0x10000 + b"\r\n"),
    "a body that drips": saying(CHUNKED, forever=b"1\r\nx\r\n", pause=0.005),
    "a chunk extension without end": saying(CHUNKED + b"1;", forever=b"x" * 65536),
    "trailers without end": saying(CHUNKED + b"0\r\n", forever=b"X-A: 1\r\n" * 1000),
    "a gzip bomb": saying(with_length(bomb("gzip"), b"Content-Encoding: gzip")),
    "a deflate bomb": saying(with_length(bomb("deflate"), b"Content-Encoding: deflate")),
    "1 MB of headers": hanging(HEAD + b"X-A: 123\r\n" * 100_000 + b"\r\n"),
    "a header of 1 MB": hanging(HEAD + b"X-Long: " + b"x" * 1_000_000 + b"\r\n\r\n"),
    "headers without end": saying(HEAD, forever=b"X-A: 1\r\n" * 1000),
    "a storm of interim answers": saying(forever=b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "an error with a body without end": saying(b"HTTP/1.1 500 X\r\n\r\n", forever=b"x" * 65536),
}


async def test_floods_and_bombs_take_no_more_memory_than_healthy_answers() -> None:
    async with AsyncExitStack() as stack:
        healthy = await stack.enter_async_context(receiving())
        words = ["healthy", healthy.url(), "healthy again", healthy.url()]
        for name, converse in FLOODS.items():
            words += [name, (await stack.enter_async_context(receiving(converse=converse))).url()]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.hostile.memory", *words, cwd=_ROOT, stdout=asyncio.subprocess.PIPE
        )
        try:
            said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    peaks = json.loads(said)
    grown = {name: peak - peaks["healthy again"] for name, peak in peaks.items()}
    assert max(grown.values()) < MOST_GROWTH_KB, grown
