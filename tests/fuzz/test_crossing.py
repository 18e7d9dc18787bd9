"""Accounts in any mixture of calls: nobody sees, changes or hinders what is another's, and the operator sees it all.

A model knows what belongs to whom; every answer to a customer is searched for every other customer's ids and words.
"""

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from service.api.calls import Route
from service.app import API
from tests.service.house import Account, Answer, open_house
from tests.support.receiver import receiving
from tests.support.samples import envelope
from tests.support.stores import database_url, prepared_postgres

__all__ = ["database_url", "prepared_postgres"]

#: Every route about one object that customers have: a new one is tried by itself.
ROUTES = [route for route in API if "{id}" in route.path and route.need != "operate"]
NOUNS = sorted({route.path.split("/")[2] for route in ROUTES})

CUSTOMERS = st.integers(0, 2)
CHANCE = st.integers(0, 10_000)

_numbers = itertools.count()


@dataclass
class Customer:
    """An account, the word that is in everything of its own, and what it has, by noun and id."""

    account: Account
    word: str
    has: dict[str, list[str]] = field(default_factory=lambda: {noun: [] for noun in NOUNS})
    identities: set[str] = field(default_factory=set)

    @property
    def marks(self) -> set[str]:
        """What nobody else may ever see."""
        return {self.word, self.account.id, self.account.user_id, *itertools.chain(*self.has.values())}


class Accounts(RuleBasedStateMachine):
    """Three customers and an operator on the real API, over a real store."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._open = AsyncExitStack()
        self._house = self._run(self._open.enter_async_context(open_house(url)))
        self._receiver = self._run(self._open.enter_async_context(receiving()))
        self._customers = [self._newcomer(name) for name in ("ada", "bob", "eve")]
        self._operator = self._run(self._house.account(f"operator{next(_numbers)}@example.com", operator=True))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def _newcomer(self, name: str) -> Customer:
        word = f"{name}{next(_numbers):06}"
        customer = Customer(self._run(self._house.account(f"{word}@example.com")), word)
        (key,) = self._call(customer, "GET", "/api/keys").body["items"]
        customer.has["keys"].append(key["id"])
        return customer

    def teardown(self) -> None:
        self._run(self._open.aclose())
        self._runner.close()

    def _call(self, customer: Customer, method: str, path: str, **options: Any) -> Answer:
        answer: Answer = self._run(customer.account.user.call(method, path, **options))
        assert answer.status < 500, answer.body
        told = f"{answer.body} {dict(answer.headers)}"
        for other in getattr(self, "_customers", ()):
            seen = [mark for mark in other.marks if mark in told] if other is not customer else []
            assert not seen, f"{method} {path} shows {customer.word} what is of {other.word}: {seen}"
        return answer

    def _any_of(self, noun: str, chance: int) -> tuple[Customer, str] | None:
        all_of_them = [(customer, one) for customer in self._customers for one in customer.has[noun]]
        return all_of_them[chance % len(all_of_them)] if all_of_them else None

    # -- making things -------------------------------------------------------------------------------------------------

    @rule(who=CUSTOMERS)
    def register(self, who: int) -> None:
        customer = self._customers[who]
        asked = {
            "url": f"{self._receiver.url}?{customer.word}",
            "events": ["*"],
            "secret": f"secret-of-{customer.word}",
            "description": customer.word,
            "headers": {"X-Whose": customer.word},
        }
        answer = self._call(customer, "POST", "/api/webhooks", json=asked)
        assert answer.status == 201
        customer.has["webhooks"].append(answer.body["id"])

    @rule(who=CUSTOMERS, identity=st.sampled_from(["one", "two", "three"]))
    def publish(self, who: int, identity: str) -> None:
        customer = self._customers[who]
        event = envelope(job_id=customer.word, text=customer.word) | {"id": identity}
        answer = self._call(customer, "POST", "/api/events", json=event)
        assert answer.status == 202
        assert answer.body["duplicate"] == (identity in customer.identities), "identities of accounts never meet"
        customer.identities.add(identity)
        if not answer.body["duplicate"]:
            customer.has["events"].append(answer.body["id"])
        self._run(self._house.quiet())
        rows = self._call(customer, "GET", "/api/deliveries", params={"limit": 100}).body["items"]
        customer.has["deliveries"] = [row["id"] for row in rows]

    @rule(who=CUSTOMERS, other=CUSTOMERS)
    def publish_for_another(self, who: int, other: int) -> None:
        customer, named = self._customers[who], self._customers[other].account.id
        events = [envelope(job_id=f"{customer.word}.{next(_numbers)}") | {"account_id": named}]
        answer = self._call(customer, "POST", "/api/events/batch", json={"events": events})
        if who != other:
            assert [error["code"] for error in answer.body["errors"]] == ["forbidden"]
        else:
            customer.has["events"] += [
                row["id"] for row in self._call(customer, "GET", "/api/events", params={"limit": 1}).body["items"]
            ]

    @rule(who=CUSTOMERS)
    def make_key(self, who: int) -> None:
        customer = self._customers[who]
        answer = self._call(customer, "POST", "/api/keys", json={"name": customer.word})
        customer.has["keys"].append(answer.body["id"])

    @rule(who=CUSTOMERS, chance=CHANCE)
    def replay(self, who: int, chance: int) -> None:
        customer, found = self._customers[who], self._any_of("webhooks", chance)
        if found is None:
            return
        own = found[0] is customer  # else it is only counted: a replay would show the id that it was asked with
        asked = {"filter": {"webhook_id": found[1]}, "dry_run": not own}
        answer = self._call(customer, "POST", "/api/replays", json=asked)
        assert answer.status == 202
        assert own or answer.body["matched"] == 0
        if answer.body["id"] is not None:
            customer.has["replays"].append(answer.body["id"])

    @rule(who=CUSTOMERS, other=CUSTOMERS)
    def erase_what_is_of_another(self, who: int, other: int) -> None:
        customer, word = self._customers[who], self._customers[other].word
        if who != other:
            answer = self._call(customer, "POST", "/api/erasures", json={"job_id": word})
            assert (answer.status, answer.body["events"], answer.body["in_progress"]) == (200, 0, 0)

    # -- reaching for what is there ------------------------------------------------------------------------------------

    @rule(who=CUSTOMERS, noun=st.sampled_from(NOUNS), chance=CHANCE)
    def reach_for_something(self, who: int, noun: str, chance: int) -> None:
        found = self._any_of(noun, chance)
        routes = [route for route in ROUTES if route.path.split("/")[2] == noun]
        if found is not None:
            self._reach_for(self._customers[who], routes[chance % len(routes)], *found)

    @rule(who=CUSTOMERS, chance=CHANCE)
    def reach_for_everything_of_others(self, who: int, chance: int) -> None:
        for route in ROUTES:
            found = self._any_of(route.path.split("/")[2], chance)
            if found is not None and found[0] is not self._customers[who]:
                self._reach_for(self._customers[who], route, *found)

    def _reach_for(self, customer: Customer, route: Route, owner: Customer, one: str) -> None:
        body: dict[str, Any] | None = None if route.method == "GET" else {}
        answer = self._call(customer, route.method, route.path.replace("{id}", one), json=body)
        if owner is not customer:
            assert (answer.status, answer.code) == (404, "not_found")
        else:
            assert answer.status != 404
            if route.method == "DELETE" and one in customer.has["webhooks"]:
                customer.has["webhooks"].remove(one)
        self._run(self._house.quiet())

    @rule(who=CUSTOMERS, chance=CHANCE, name=st.sampled_from(["webhook_id", "event_id", "q", "job_id"]))
    def filter_by(self, who: int, chance: int, name: str) -> None:
        customer = self._customers[who]
        noun = {"webhook_id": "webhooks", "event_id": "events", "q": "deliveries", "job_id": "events"}[name]
        found = self._any_of(noun, chance)
        if found is None or found[0] is customer:
            return
        which = found[0].word if name == "job_id" else found[1]
        assert self._call(customer, "GET", "/api/deliveries", params={name: which}).body["items"] == []

    @rule(who=CUSTOMERS, other=CUSTOMERS, noun=st.sampled_from(NOUNS))
    def go_on_from_anothers_cursor(self, who: int, other: int, noun: str) -> None:
        first = self._call(self._customers[other], "GET", f"/api/{noun}", params={"limit": 1})
        if first.body["next"] is not None:
            path, which = f"/api/{noun}", {"cursor": first.body["next"], "limit": 100}
            rows = self._call(self._customers[who], "GET", path, params=which).body.get("items", [])
            assert {row["account_id"] for row in rows} <= {self._customers[who].account.id}

    # -- what holds at any moment --------------------------------------------------------------------------------------

    @rule(who=CUSTOMERS, noun=st.sampled_from(NOUNS))
    def look_at_a_list(self, who: int, noun: str) -> None:
        customer = self._customers[who]
        rows = self._call(customer, "GET", f"/api/{noun}", params={"limit": 100}).body["items"]
        assert {row["account_id"] for row in rows} <= {customer.account.id}
        assert set(customer.has[noun]) <= {row["id"] for row in rows}, "and nobody took anything away"

    @rule(noun=st.sampled_from(NOUNS))
    def the_operator_sees_all(self, noun: str) -> None:
        answer = self._run(self._operator.user.get(f"/api/{noun}", limit=100))
        assert {one for customer in self._customers for one in customer.has[noun]} <= {
            row["id"] for row in answer.body["items"]
        }

    @invariant()
    def the_receiver_got_from_each_only_what_is_its_own(self) -> None:
        for call in self._receiver.calls:
            for customer in self._customers:
                if customer.word.encode() in call.body:
                    assert call.headers["X-Whose"] == customer.word
        self._receiver.calls.clear()


def test_nobody_sees_or_changes_what_is_anothers_in_any_mixture_of_calls(database_url: str) -> None:
    run_state_machine_as_test(
        partial(Accounts, database_url),  # type: ignore[arg-type] # whatever makes a machine will do
        settings=settings(
            max_examples=4,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
