"""The laws of secrets at rest."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.sealing import KeyRing, UnreadableSecretError

OLD, NEW = bytes(32), bytes(range(32))

plains = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=128)
owners = st.from_regex(r"wh_[0-9a-f]{28}", fullmatch=True)


def seal(ring: KeyRing, plain: str, owner: str) -> str:
    return ring.seal(plain, owner=owner, entropy=os.urandom)


def entry(name: str, key: bytes) -> str:
    return f"{name}:{base64.b64encode(key).decode()}"


@given(plains, owners)
def test_what_was_sealed_opens_for_its_owner(plain: str, owner: str) -> None:
    ring = KeyRing({"k1": OLD})
    assert ring.open(seal(ring, plain, owner), owner=owner) == plain


@given(plains, owners, owners)
def test_moved_to_another_owner_it_does_not_open(plain: str, owner: str, thief: str) -> None:
    ring = KeyRing({"k1": OLD})
    if owner != thief:
        with pytest.raises(UnreadableSecretError):
            ring.open(seal(ring, plain, owner), owner=thief)


@given(plains, owners, st.data())
def test_changed_by_a_single_bit_it_does_not_open(plain: str, owner: str, data: st.DataObject) -> None:
    ring = KeyRing({"k1": OLD})
    box = bytearray(base64.b64decode(seal(ring, plain, owner).removeprefix("k1:")))
    box[data.draw(st.integers(0, len(box) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(UnreadableSecretError):
        ring.open(entry("k1", bytes(box)), owner=owner)


@given(st.one_of(st.text(max_size=80), st.text(max_size=80).map(lambda text: "k1:" + text)))
def test_whatever_stands_in_the_row_is_opened_or_called_unreadable(text: str) -> None:
    with pytest.raises(UnreadableSecretError):
        KeyRing({"k1": OLD}).open(text, owner="wh_1")


def test_the_plain_text_shows_nowhere_and_the_same_secret_never_looks_the_same() -> None:
    ring = KeyRing({"k1": OLD})
    once, again = (seal(ring, "your-webhook-signing-secret", "wh_1") for _ in range(2))
    assert once != again
    assert "your-webhook" not in once


def test_the_first_key_of_the_ring_seals_and_all_of_them_open() -> None:
    before = KeyRing.parse(entry("old", OLD))
    both = KeyRing.parse(f"{entry('new', NEW)}, {entry('old', OLD)}")
    sealed = seal(before, "secret", "wh_1")
    assert both.open(sealed, owner="wh_1") == "secret"
    assert seal(both, "secret", "wh_1").startswith("new:")


def test_a_key_that_left_the_ring_opens_nothing_and_is_named() -> None:
    sealed = seal(KeyRing.parse(entry("old", OLD)), "secret", "wh_1")
    with pytest.raises(UnreadableSecretError, match="'old'"):
        KeyRing.parse(entry("new", NEW)).open(sealed, owner="wh_1")


def test_another_key_of_the_same_name_opens_nothing() -> None:
    sealed = seal(KeyRing({"k1": OLD}), "secret", "wh_1")
    with pytest.raises(UnreadableSecretError):
        KeyRing({"k1": NEW}).open(sealed, owner="wh_1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k1",
        "k1:",
        ":" + "A" * 43 + "=",
        "k1:not base64",
        "k1:schlüssel",
        entry("k1", bytes(31)),
        entry("k1", bytes(33)),
        entry("k1", OLD) + ",",
        entry("k1", OLD) + "," + entry("k1", NEW),
    ],
)
def test_a_ring_that_is_not_a_list_of_named_32_byte_keys_is_refused_without_telling_the_keys(text: str) -> None:
    with pytest.raises(ValueError, match="master key") as refusal:
        KeyRing.parse(text)
    assert base64.b64encode(OLD).decode() not in str(refusal.value)
