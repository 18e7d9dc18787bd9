"""TLS that is wrong, through the whole service, which trusts an authority of the test's own."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.delivery.receivers import Conversation, Receiver, receiving
from tests.hostile.cases import Case, cases_of, each
from tests.hostile.certificates import CERTIFICATES, HANDSHAKES, OLD_VERSIONS, MakeServer
from tests.hostile.desk import Desk, open_desk
from tests.support.authority import Authority

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("authority"), "A trusted authority")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(authority.file))
        async with open_desk(tmp_path_factory.mktemp("service")) as opened:
            yield opened


async def test_what_the_authority_has_issued_is_delivered_to(desk: Desk, authority: Authority) -> None:
    receiver = Receiver()
    async with receiving(converse=receiver.answering(b"HTTP/1.1 204 OK\r\n\r\n"), tls=authority.issue()) as serving:
        (sent,) = await desk.send_to(serving.url(scheme="https"))
    assert (sent["status"], len(receiver.requests)) == ("delivered", 1)


@each(cases_of(CERTIFICATES))
async def test_a_wrong_certificate_gets_nothing(desk: Desk, authority: Authority, case: Case[MakeServer]) -> None:
    receiver = Receiver()
    async with receiving(converse=receiver.answering(b""), tls=case.given(authority)) as serving:
        (sent,) = await desk.send_to(serving.url(scheme="https"))
    (attempt,) = sent["attempts"]
    assert (attempt["error"]["class"], sent["status"]) == (case.expected, "pending")
    assert case.says in attempt["error"]["message"]
    assert receiver.requests == []
    assert attempt["timings"]["tls_ms"] is not None


@each(cases_of(HANDSHAKES))
async def test_a_handshake_that_is_none_gets_nothing(desk: Desk, case: Case[Conversation]) -> None:
    await fails_in_the_handshake(desk, case.given, case.expected, case.says)


@each(cases_of(OLD_VERSIONS))
async def test_a_server_with_old_versions_only_gets_nothing(
    desk: Desk, authority: Authority, case: Case[Callable[[Authority], Conversation]]
) -> None:
    await fails_in_the_handshake(desk, case.given(authority), case.expected, case.says)


async def fails_in_the_handshake(desk: Desk, converse: Conversation, expected: str, says: str) -> None:
    async with receiving(converse=converse) as serving:
        (sent,) = await desk.send_to(serving.url(scheme="https"))
        assert serving.accepts == 1
    (attempt,) = sent["attempts"]
    assert (attempt["error"]["class"], sent["status"]) == (expected, "pending")
    assert says in attempt["error"]["message"]
