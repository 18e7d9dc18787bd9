"""Potato's webhooks, as a real one sent them."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumers.sources.connector import Push, Unauthorised
from consumers.sources.potato.hooks import heard
from delivery.domain.errors import InvalidInput

SECRET = "s3cret-raw-not-whsec"
LINES = (Path(__file__).parents[2] / "fixtures/potato/90_potato_webhook_deliveries.jsonl").read_text().splitlines()


def pushes() -> list[tuple[Push, datetime]]:
    found = []
    for line in map(json.loads, LINES):
        headers = {name.lower(): value for name, value in line["headers"].items()}
        found.append((Push(headers, line["body"].encode()), datetime.fromtimestamp(line["received_at"], UTC)))
    return found


def test_every_push_of_a_real_one_is_believed_and_says_whose_work_to_look_at() -> None:
    for push, at in pushes():
        said = json.loads(push.body)
        (one,) = heard(push, SECRET, at)
        assert one.subject == said["data"].get("user_id", "")
        assert one.detail == {"event": said["event"]}


@pytest.mark.parametrize("seconds", [-299, 299])
def test_clocks_may_differ_a_little(seconds: int) -> None:
    push, at = pushes()[0]
    assert heard(push, SECRET, datetime.fromtimestamp(int(at.timestamp()), UTC) + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-302, 302])
def test_an_old_push_is_refused(seconds: int) -> None:
    push, at = pushes()[0]
    with pytest.raises(Unauthorised, match="seconds away"):
        heard(push, SECRET, at + timedelta(seconds=seconds))


def test_what_is_not_signed_with_the_secret_is_refused() -> None:
    push, at = pushes()[0]
    for other in (
        replace(push, body=push.body + b" "),
        replace(push, headers={}),
        replace(push, headers={**push.headers, "webhook-id": "msg_other"}),
        replace(push, headers={**push.headers, "webhook-signature": "v1,none"}),
        replace(push, headers={**push.headers, "webhook-signature": "v1,ä"}),
        replace(push, headers={**push.headers, "webhook-timestamp": "soon"}),
        replace(push, headers={**push.headers, "webhook-timestamp": "9" * 400}),
    ):
        with pytest.raises(Unauthorised):
            heard(other, SECRET, at)
    with pytest.raises(Unauthorised):
        heard(push, "another secret", at)


def test_without_a_secret_whoever_says_something_wakes() -> None:
    (one,) = heard(Push({}, b'{"event": "webhook.test", "data": null}'), "", datetime.now(UTC))
    assert one.subject == ""


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"event": 3}', b"\xff", b"[" * 100_000])
def test_what_potato_does_not_send_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        heard(Push({}, body), "", datetime.now(UTC))
