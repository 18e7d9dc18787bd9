"""Section E through the whole service: registered, published, sent, logged, and the neighbour unharmed."""

from collections.abc import AsyncIterator
from datetime import datetime

import pytest
import pytest_asyncio

from delivery.destinations.webhook import MOST_BODY
from tests.delivery.receivers import Conversation, receiving
from tests.hostile.answers import DELIVERED, FAILING
from tests.hostile.cases import Case, cases_of, each
from tests.hostile.desk import Desk, open_desk

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path_factory.mktemp("service")) as opened:
        yield opened


@each(cases_of(FAILING))
async def test_a_receiver_that_fails_is_told_apart_and_tried_again(desk: Desk, case: Case[Conversation]) -> None:
    async with receiving(converse=case.given) as hostile:
        (sent,) = await desk.send_to(hostile.url())
        assert hostile.accepts == 1
    (attempt,) = sent["attempts"]
    assert (attempt["error"]["class"], sent["status"]) == (case.expected, "pending")
    assert case.says in attempt["error"]["message"]
    assert attempt["error"]["message"].isprintable()
    wait = datetime.fromisoformat(sent["next_attempt_at"]) - datetime.fromisoformat(attempt["started_at"])
    assert 60 <= wait.total_seconds() <= 66


@each(cases_of(DELIVERED))
async def test_a_2xx_in_time_is_a_success_whatever_follows(desk: Desk, case: Case[Conversation]) -> None:
    async with receiving(converse=case.given) as hostile:
        deliveries = await desk.send_to(hostile.url(), times=2)
        assert hostile.accepts == 2, "a connection on which there was anything odd is not used again"
    for sent in deliveries:
        (attempt,) = sent["attempts"]
        assert (attempt["error"], sent["status"]) == (None, "delivered")
        assert len(attempt["response"]["body"]) <= 4 * MOST_BODY  # bytes that are no text are shown as \\xff
