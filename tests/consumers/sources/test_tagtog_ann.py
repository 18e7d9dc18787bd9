"""What tagtog keeps of a document, translated."""

from html import escape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.sources.names import sha256
from consumers.sources.tagtog.ann import Ann, annotations_of, confidence_of, since, text_of
from tests.fakes.tagtog import LEGEND, ann, by_hand, meta, predicted

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
ENTITIES = st.lists(
    st.builds(
        predicted,
        st.integers(0, 5),
        WORDS,
        st.sampled_from(["e_1", "e_3", "e_9"]),
        st.floats(0, 1),
        state=st.sampled_from(["", None, "pre-added", "pre-removed"]),
        who=st.lists(st.sampled_from(["ml:a", "ml:b", "user:ada"]), max_size=2),
    ),
    max_size=6,
)


def read(content: dict[str, Any]) -> Ann:
    return Ann.model_validate(content)


# --- one form ---------------------------------------------------------------------------------------------------------


@given(ENTITIES, st.randoms())
def test_the_order_of_entities_makes_no_difference(entities: list[dict[str, Any]], luck: Any) -> None:
    shuffled = luck.sample(entities, len(entities))
    one, other = read(ann(*entities, m_2=meta(True))), read(ann(*shuffled, m_2=meta(True)))
    assert sha256(one.canonical()) == sha256(other.canonical())
    assert since(one, other) == since(other, one) == []


@given(st.text(max_size=5))
def test_what_is_written_down_is_plain_whatever_it_says(value: str) -> None:
    one = read(ann(predicted(0, "half \ud83d"), m_2=meta(value + "\0")))
    assert one.text().isascii()
    assert Ann.read(one.text()) == one


@given(ENTITIES)
def test_what_is_written_down_is_read_again_as_it_was(entities: list[dict[str, Any]]) -> None:
    one = read(ann(*entities, m_2=meta(0.5)))
    again = Ann.read(one.text())
    assert again.canonical() == one.canonical()
    assert again.text() == one.text()


@pytest.mark.parametrize(
    "other",
    [
        ann(predicted(0, "Ada"), anncomplete=True),
        ann(predicted(0, "Ada", prob=0.8)),
        ann(predicted(1, "Ada")),
        ann(predicted(0, "Ada", "e_3")),
        ann(predicted(0, "Ada") | {"fields": {"f_4": {"value": "x"}}}),
        ann(predicted(0, "Ada"), m_2=meta(1)),
        ann(),
    ],
)
def test_whatever_else_differs_does(other: dict[str, Any]) -> None:
    assert sha256(read(ann(predicted(0, "Ada"))).canonical()) != sha256(read(other).canonical())


def test_one_and_true_are_two_values() -> None:
    assert read(ann(m_2=meta(1))).canonical() != read(ann(m_2=meta("1"))).canonical()
    assert [read(ann(m_2=meta(value))).metas["m_2"].value for value in (True, 1, 1.5, "1")] == [True, 1, 1.5, "1"]
    assert read(ann(m_2=meta(True))).metas["m_2"].value is True


# --- annotations ------------------------------------------------------------------------------------------------------


@given(ENTITIES)
def test_a_span_ends_where_its_text_does(entities: list[dict[str, Any]]) -> None:
    spans = [span for value in annotations_of(read(ann(*entities)).entries(), LEGEND).values() for span in value]
    assert len(spans) == len(entities)
    assert all(span["end"] - span["start"] == len(span["text"]) for span in spans)


def test_an_entity_in_pieces_is_a_span_for_each() -> None:
    split = predicted(0, "New") | {"offsets": [{"start": 0, "text": "New"}, {"start": 9, "text": "York"}]}
    assert annotations_of(read(ann(split)).entries(), LEGEND) == {
        "PLACE": [
            {"text": "New", "start": 0, "end": 3, "part": "s1p1"},
            {"text": "York", "start": 9, "end": 13, "part": "s1p1"},
        ]
    }


def test_a_label_that_the_legend_has_lost_keeps_its_id() -> None:
    assert annotations_of(read(ann(m_7=meta("x"))).entries(), LEGEND) == {"m_7": "x"}


def test_confidence_is_that_of_the_least_sure_one_and_of_nothing_else() -> None:
    unsure = predicted(3, "b") | {"confidence": {"state": "pre-added", "who": ["ml:a"]}}
    entries = read(ann(predicted(0, "a", prob=0.9), unsure, predicted(5, "c", prob=0.4), m_2=meta(1))).entries()
    assert confidence_of(entries, LEGEND) == {"PLACE": 0.4, "sentiment": 0.8}


def test_new_and_gone_is_whatever_differs_even_in_who_made_it() -> None:
    before, after = read(ann(predicted(0, "a"), predicted(3, "b"))), read(ann(predicted(0, "a"), by_hand(3, "b")))
    assert [one.confidence.human for _, one in since(before, after)] == [True]
    assert [one.confidence.human for _, one in since(after, before)] == [False]


# --- plain.html -------------------------------------------------------------------------------------------------------


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_characters_are_those_that_offsets_count(texts: list[str]) -> None:
    parts = [f"s1p{number}" for number in range(len(texts))]
    html = "".join(f'<p id="{part}">{escape(text)}</p>\n' for part, text in zip(parts, texts, strict=True))
    assert text_of(parts, f"<html><head><title>t</title></head><body>{html}</body></html>") == "\n".join(texts)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<pre id="p">a  b\n c</pre>', "a  b\n c"),
        ('<p id="p">a<br>b<img src="x">c</p>d', "abc"),
        ('<div id="p">a <p id="q">b <i>c</i></p> d</div>', "a b c d"),
        ('<p id="p">a</i>b</p>c', "ab"),
        ('<p id="q">x</p><p id="p">&lt;&#233;&hearts;</p>', "<é♥"),
        ('<p id="p"></p>', ""),
        ("<p id='p'>a<!-- b --></p>", "a"),
    ],
)
def test_a_part_is_the_text_in_its_element(html: str, text: str) -> None:
    assert text_of(["p"], html) == text


def test_parts_come_in_the_order_of_the_annotations() -> None:
    assert text_of(["b", "a"], '<p id="a">A</p><p id="c">C</p><p id="b">B</p>') == "B\nA"


def test_a_part_that_is_not_there_is_missed() -> None:
    with pytest.raises(KeyError):
        text_of(["a"], "<html>Log in</html>")
