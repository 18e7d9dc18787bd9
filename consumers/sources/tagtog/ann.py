"""What tagtog keeps of a document, and what it means: ann.json and plain.html to text and annotations. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from consumers.sources.names import canonical

#: The state of a prediction that was taken back.
_TAKEN_BACK = "pre-removed"

#: Elements of HTML that have no end.
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})


@dataclass(frozen=True, slots=True)
class Document:
    """A document that a search found: when it was changed, and how tagtog writes that."""

    docid: str
    at: datetime
    updated: str


class _Shape(BaseModel):
    """Whatever else is in it is kept: it counts when two versions are told apart."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Confidence(_Shape):
    """Where an annotation comes from. ``prob`` is between 0 and 1; who made it is ``ml:…`` or ``user:…``."""

    state: str | None = None
    who: tuple[str, ...] = ()
    prob: float | None = None

    @property
    def taken_back(self) -> bool:
        """Whether it was predicted, and is not any more."""
        return self.state == _TAKEN_BACK

    @property
    def human(self) -> bool:
        """Whether a person had a hand in it. What nobody signed is by hand, unless it says that it was predicted.

        >>> Confidence(state="pre-added", who=["ml:a"]).human, Confidence(state="", who=["ml:a", "user:ada"]).human
        (False, True)
        """
        return self.taken_back or bool(self.users) or (not self.who and self.state != "pre-added")

    @property
    def users(self) -> Sequence[str]:
        """The people."""
        return [name for kind, _, name in (who.partition(":") for who in self.who) if kind == "user"]

    @property
    def models(self) -> Sequence[str]:
        """The models."""
        return [name for kind, _, name in (who.partition(":") for who in self.who) if kind == "ml"]


class Meta(_Shape):
    """A label of the document."""

    value: bool | int | float | str | None
    confidence: Confidence = Confidence()


class Offset(_Shape):
    """A piece of an entity; ``start`` is counted from the beginning of its part."""

    start: NonNegativeInt
    text: str


class Entity(_Shape):
    """A label of a piece of the text, or of several pieces."""

    class_id: str = Field(alias="classId")
    part: str
    offsets: tuple[Offset, ...] = Field(min_length=1)
    confidence: Confidence = Confidence()

    def spans(self) -> Iterator[dict[str, Any]]:
        """Its pieces, as events have them."""
        for offset in self.offsets:
            end = offset.start + len(offset.text)
            yield {"text": offset.text, "start": offset.start, "end": end, "part": self.part}

    @property
    def place(self) -> tuple[str, int, str, bytes]:
        """By what entities are put into an order that does not depend on how they came."""
        return self.part, self.offsets[0].start, self.class_id, canonical(self.model_dump(by_alias=True))


#: One annotation, and the id of its label.
Entry = tuple[str, Meta | Entity]


class Annotatable(_Shape):
    """What of a document can be annotated: ids of elements of its plain.html, in their order."""

    parts: tuple[str, ...]


class Ann(_Shape):
    """The annotations of one version of a document. ``anncomplete``: somebody confirmed them."""

    annotatable: Annotatable
    anncomplete: bool
    metas: Mapping[str, Meta] = {}
    entities: tuple[Entity, ...] = ()

    def canonical(self) -> dict[str, Any]:
        """One form for equal annotations, in whatever order they came."""
        entities = tuple(sorted(self.entities, key=lambda entity: entity.place))
        return self.model_copy(update={"entities": entities}).model_dump(mode="json", by_alias=True)

    def text(self) -> str:
        """The same as text, in characters that every database takes."""
        return json.dumps(self.canonical(), separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> "Ann":
        """Read that text again, be there half a character in it: an offset may end amid one."""
        return cls.model_validate(json.loads(text))

    def entries(self) -> Sequence[Entry]:
        """All annotations, those that were taken back, too."""
        return [*sorted(self.metas.items()), *((one.class_id, one) for one in self.entities)]


def since(before: Ann | None, after: Ann | None) -> Sequence[Entry]:
    """Tell which annotations of a version are not in the one before exactly as they are."""
    old, new = (_by_form(ann.entries() if ann else ()) for ann in (before, after))
    return [new[form] for form in new if form not in old]


def _by_form(entries: Iterable[Entry]) -> dict[bytes, Entry]:
    return {canonical([name, one.model_dump(mode="json", by_alias=True)]): (name, one) for name, one in entries}


def names_of(legend: Mapping[str, str]) -> dict[str, str]:
    """Give labels' names by their ids; where several have the same one, with the id.

    >>> names_of({"e_1": "person", "e_2": "mood", "m_3": "mood"})
    {'e_1': 'person', 'e_2': 'mood (e_2)', 'm_3': 'mood (m_3)'}
    """
    times = Counter(legend.values())
    return {label: name if times[name] == 1 else f"{name} ({label})" for label, name in legend.items()}


def annotations_of(entries: Iterable[Entry], names: Mapping[str, str]) -> dict[str, Any]:
    """Translate to an event's ``annotations``. A label that the legend has lost keeps its id."""
    found: dict[str, Any] = {}
    for label, one in entries:
        if isinstance(one, Meta):
            found[names.get(label, label)] = one.value
        else:
            found.setdefault(names.get(label, label), []).extend(one.spans())
    return {name: _in_order(value) for name, value in found.items()}


def _in_order(value: Any) -> Any:
    return sorted(value, key=lambda span: (span["part"], span["start"])) if isinstance(value, list) else value


def confidence_of(entries: Iterable[Entry], names: Mapping[str, str]) -> dict[str, float]:
    """Tell for each label how sure the least sure of its annotations is."""
    found: dict[str, float] = {}
    for label, one in entries:
        if one.confidence.prob is not None:
            name = names.get(label, label)
            found[name] = min(found.get(name, 1.0), one.confidence.prob)
    return found


# --- plain.html -------------------------------------------------------------------------------------------------------


def text_of(parts: Sequence[str], html: str) -> str:
    r"""Join the text of a document's parts by newlines.

    Raises:
        KeyError: a part is not there.

    >>> text_of(["s1h1", "s1p1"], '<h2 id="s1h1">News</h2><p id="s1p1">A &amp; <b>B</b></p>')
    'News\nA & B'
    """
    reader = _Parts(parts)
    reader.feed(html)
    reader.close()
    return "\n".join("".join(reader.texts[part]) for part in parts)


class _Parts(HTMLParser):
    """Collects the characters of elements by their ids: exactly, because offsets count them."""

    def __init__(self, parts: Iterable[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: dict[str, list[str]] = {}
        self._wanted = frozenset(parts)
        self._open: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        part = dict(attrs).get("id")
        if part in self._wanted:
            self.texts.setdefault(part, [])
        if tag not in _VOID:
            self._open.append((tag, part))

    def handle_endtag(self, tag: str) -> None:
        if any(tag == name for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        for _, part in self._open:
            if part in self.texts:
                self.texts[part].append(data)
