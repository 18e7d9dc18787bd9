"""What the tests of this room share."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Let the carriers meet their receivers on the event loop of `serve` as well: sockets and TLS differ there."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name.startswith("test_webhook_"):
        factories["uvloop"] = uvloop.new_event_loop
    return factories
