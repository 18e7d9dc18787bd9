"""The whole list of hostile inputs, with its counts, as `tests/README.md` and `make hostile` show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.hostile import addresses, answers, certificates, headers, names, stories, urls
from tests.hostile.cases import Row, cases_of


@dataclass(frozen=True)
class Section:
    """What a section is about, its rows, and what comes of them in words."""

    what: str
    rows: Sequence[Row[Any]]
    outcome: str

    @property
    def count(self) -> int:
        return len(cases_of(self.rows))


SECTIONS: Mapping[str, Section] = {
    "A": Section(
        "URLs that two parsers could read differently",
        [*urls.URLS, *urls.NORMAL_FORMS],
        "422 with the field and the rule, nothing stored; harmless ones are stored in one normal form",
    ),
    "B": Section(
        "Inner addresses in every spelling: as a literal, as a name's address, before an egress proxy",
        [*addresses.FORBIDDEN, *addresses.SPELLINGS, *addresses.NAMES_OF_THIS_MACHINE, *addresses.NEIGHBOURS],
        "422 at registration, `blocked_address` at an attempt, no connect, nothing to the proxy; neighbours pass",
    ),
    "C": Section(
        "Name servers that change their mind, mix, go in circles or say nothing",
        [*names.AT_ONCE, *names.CHANGING, *names.HONEST],
        "`blocked_address`, `dns_error` or `timeout` within the attempt's time; nobody forbidden is dialled",
    ),
    "D": Section(
        "Headers that would carry the delivery elsewhere",
        [*headers.NAMES, *headers.VALUES, *headers.HEADERS, *headers.ACCEPTED_HEADERS],
        "422 with the header as the field, nothing stored; ordinary ones are taken as typed",
    ),
    "E": Section(
        "Receivers that do everything wrong, TLS included",
        [
            *answers.FAILING,
            *answers.DELIVERED,
            *certificates.CERTIFICATES,
            *certificates.OLD_VERSIONS,
            *certificates.HANDSHAKES,
            *stories.RETRY_AFTER,
            *stories.REDIRECTS,
            *stories.STORIES,
        ],
        "the class of what went wrong logged and a retry, or a success where a 2xx was in time; others unharmed",
    ),
}


def table() -> str:
    """The list in short, as Markdown."""
    rows = [f"| {letter} | {part.what} | {part.count} | {part.outcome} |" for letter, part in SECTIONS.items()]
    total = sum(part.count for part in SECTIONS.values())
    head = ["| section | what is tried | inputs | what comes of it |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, f"| | all of them | {total} | |"])
