"""tagtog's webhooks, as its documentation and its receivers have them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from consumers.sources.connector import Heard, Push
from consumers.sources.tagtog.push import read_push
from delivery.domain.errors import InvalidInput

HEADERS = {"x-tagtog-onpushsave-source": "GUI", "x-tagtog-onpushsave-status": "updated"}
PROJECT = {"owner": "ada", "project": "travel"}
DOCID = "aZ10o06tnabIXN1wwdw.V3I23fs4-text"


def heard(**body: Any) -> Sequence[Heard]:
    return read_push(Push(HEADERS, json.dumps(body).encode()), "ada", "travel")


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({"tagtogID": DOCID}, "master"),
        ({"docid": DOCID, "member": "master"}, "master"),
        ({"docid": DOCID, "tagtogID": "another", "member": ""}, "master"),
        ({"docid": DOCID, "member": None}, "master"),
        ({"docid": DOCID, "member": "dana"}, "dana"),
    ],
)
def test_it_names_a_document_and_whose_version(body: dict[str, Any], member: str) -> None:
    (one,) = heard(**PROJECT, **body)
    assert one.subject == f"{DOCID}/{member}"
    assert one.detail == {"docid": DOCID, "member": member, "event": "updated/GUI"}


def test_names_that_are_no_keys_are_told_by_their_digest() -> None:
    (one,) = heard(tagtogID="x/ä" * 80, member="dana lee")
    assert len(one.subject) < 255
    assert one.detail == {"docid": "x/ä" * 80, "member": "dana lee", "event": "updated/GUI"}


@pytest.mark.parametrize("name", ["", 3, [], "half \ud800", "no\0thing", "two\nlines", "x" * 256])
def test_what_nothing_is_called_is_refused(name: Any) -> None:
    with pytest.raises(InvalidInput):
        heard(tagtogID=name)
    if name:
        with pytest.raises(InvalidInput):
            heard(tagtogID=DOCID, member=name)


def test_headers_that_say_nothing_known_are_not_repeated() -> None:
    (one,) = read_push(Push({**HEADERS, "x-tagtog-onpushsave-source": "\udcff"}, b'{"tagtogID":"d"}'), "ada", "travel")
    assert one.detail["event"] is None
