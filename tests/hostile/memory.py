"""A process that sends to receivers and says how much memory it took at most: ``python -m tests.hostile.memory``.

Takes pairs of a name and a URL; prints the peak of its resident memory in kB after the attempts to each, as JSON.
"""

import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from tests.delivery.receivers import destination, shipment

ATTEMPTS = 64
AT_A_TIME = 16
PATIENCE_S = 0.5


def peak_kb() -> int:
    """The most that this process ever had; unlike ``ru_maxrss`` without what its parent had before."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


async def measure(urls: Sequence[tuple[str, str]]) -> Mapping[str, int]:
    peaks = {}
    async with destination(patience=PATIENCE_S) as webhooks:
        for name, url in urls:
            for _ in range(ATTEMPTS // AT_A_TIME):
                await asyncio.gather(*(webhooks.send(shipment(url)) for _ in range(AT_A_TIME)))
            peaks[name] = peak_kb()
    return peaks


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.stdout.write(json.dumps(uvloop.run(measure(list(zip(words[::2], words[1::2], strict=True))))))
