"""The laws of signing: what leaves here, customers' own code can verify."""

import base64
import hashlib
import hmac
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from delivery.domain.envelope import write_json
from delivery.domain.errors import Unprocessable
from delivery.domain.signing import (
    accept_secret,
    make_secret,
    seed_signature,
    standard_key,
    standard_secret,
    standard_signature,
)
from tests.support.receiver import verify_webhook

typed = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=8, max_size=128)
made = st.binary(min_size=24, max_size=64).map(make_secret)
secrets = st.one_of(typed, made)
bodies = st.binary(max_size=2000)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=500)


@given(bodies, secrets)
def test_the_setup_guides_snippet_verifies_every_body(body: bytes, secret: str) -> None:
    signature = seed_signature(body, secret)
    assert signature.startswith("sha256=")
    assert verify_webhook(body, signature, secret)


@given(bodies, secrets, st.data())
def test_it_does_not_verify_another_body_or_another_secret(body: bytes, secret: str, data: st.DataObject) -> None:
    signature = seed_signature(body, secret)
    assert not verify_webhook(data.draw(bodies.filter(lambda other: other != body)), signature, secret)
    assert not verify_webhook(body, signature, data.draw(secrets.filter(lambda other: other != secret)))


@given(texts, secrets)
def test_the_standard_webhooks_library_verifies_with_the_secret_that_is_shown_for_it(text: str, secret: str) -> None:
    body, now = write_json({"text": text}), int(time.time())
    signature = standard_signature("evt_1", now, body, [secret])
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(now), "webhook-signature": signature}
    library = Webhook(standard_secret(secret))
    assert library.verify(body, headers) == {"text": text}
    for changed in ({"webhook-id": "evt_2"}, {"webhook-timestamp": str(now - 1)}):
        with pytest.raises(WebhookVerificationError):
            library.verify(body, headers | changed)


@given(made)
def test_a_secret_of_ours_is_pasted_into_a_library_as_it_is(secret: str) -> None:
    assert standard_secret(secret) == secret


@given(secrets)
def test_the_secret_for_libraries_stands_for_the_same_key(secret: str) -> None:
    key = base64.b64decode(standard_secret(secret).removeprefix("whsec_"))
    assert key == standard_key(secret)


@given(st.binary(min_size=24, max_size=64))
def test_a_whsec_secret_is_the_key_that_it_encodes(key: bytes) -> None:
    assert standard_key(make_secret(key)) == key


@pytest.mark.parametrize(
    "secret",
    [
        "mysecret!",  # plain text
        "whsec_not base64!",
        "whsec_" + base64.b64encode(bytes(23)).decode(),  # one byte too short
        "whsec_" + base64.b64encode(bytes(65)).decode(),  # one byte too long
        "whsec_" + base64.b64encode(bytes(25)).decode().rstrip("="),  # no padding
        base64.b64encode(bytes(32)).decode(),  # no prefix
    ],
)
def test_anything_else_is_its_own_bytes(secret: str) -> None:
    assert standard_key(secret) == secret.encode()


@given(bodies, st.lists(secrets, min_size=1, max_size=5))
def test_in_a_rotation_every_valid_secret_has_its_signature_newest_first(body: bytes, valid: list[str]) -> None:
    together = standard_signature("evt_1", 1767268800, body, valid).split(" ")
    alone = [standard_signature("evt_1", 1767268800, body, [secret]) for secret in valid]
    assert together == alone


def test_the_standard_signature_covers_id_time_and_body() -> None:
    mac = hmac.new(b"mysecret!", b"evt_1.1767268800.{}", hashlib.sha256).digest()
    assert standard_signature("evt_1", 1767268800, b"{}", ["mysecret!"]) == "v1," + base64.b64encode(mac).decode()


@given(typed)
def test_a_customers_own_secret_is_taken_as_typed(secret: str) -> None:
    assert accept_secret(secret) == secret


@pytest.mark.parametrize("secret", ["", "1234567", "x" * 129, "12345678\n", "1234\t5678", "schlüssel", "1234567\x7f"])
def test_a_secret_that_is_short_long_or_unprintable_is_refused(secret: str) -> None:
    with pytest.raises(Unprocessable) as refusal:
        accept_secret(secret)
    assert (refusal.value.code, refusal.value.field) == ("invalid_secret", "secret")
