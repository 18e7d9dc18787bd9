"""Section D at the door: the headers of an endpoint, registered over the real API."""

import pytest

from tests.hostile.cases import Case, cases_of, each
from tests.hostile.doors import Door
from tests.hostile.headers import ACCEPTED_HEADERS, HEADERS, NAMES, VALUES

pytestmark = pytest.mark.asyncio(loop_scope="module")


@each(cases_of(NAMES))
async def test_a_header_that_must_not_be_set_is_refused(door: Door, case: Case[str]) -> None:
    shown = case.given[:128].encode("ascii", "backslashreplace").decode()
    await door.refuses(f"headers.{shown}", case.says, headers={case.given: "x"})


@each(cases_of(VALUES))
async def test_a_header_value_that_is_not_visible_ascii_is_refused(door: Door, case: Case[object]) -> None:
    await door.refuses("headers.X-Value", case.says, headers={"X-Value": case.given})


@each(cases_of(HEADERS))
async def test_headers_have_an_upper_bound(door: Door, case: Case[dict[str, str]]) -> None:
    await door.refuses("headers", case.says, headers=case.given)


@each(cases_of(ACCEPTED_HEADERS))
async def test_the_customers_own_headers_are_taken_as_typed(door: Door, case: Case[dict[str, str]]) -> None:
    assert (await door.takes(headers=case.given))["headers"] == case.given


async def test_a_header_is_given_once_in_any_case(door: Door) -> None:
    await door.refuses("headers.x-a", "is given twice", headers={"X-A": "1", "x-a": "2"})


async def test_half_a_character_is_refused_with_the_whole_request(door: Door) -> None:
    for wishes in (
        {"headers": {"X-Value": "\ud800"}},
        {"headers": {"\ud800": "x"}},
        {"url": "https://a.example/\ud800"},
    ):
        answer = await door.register(**wishes)
        assert (answer.status, answer.code) == (400, "invalid_json")
    assert await door.webhooks() == []
