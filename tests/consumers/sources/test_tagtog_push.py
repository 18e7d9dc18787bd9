"""tagtog's webhooks, as its documentation and its receivers have them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from consumers.sources.connector import Heard, Push
from consumers.sources.tagtog_push import read_push

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


def test_names_without_end_are_told_by_their_digest() -> None:
    (one,) = heard(tagtogID="x" * 1000)
    assert len(one.subject) < 255
    assert one.detail["docid"] == "x" * 1000
