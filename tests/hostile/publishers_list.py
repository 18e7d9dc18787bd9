"""The list of what hostile publishers and clients try, with its counts, as `tests/README.md` shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.hostile import publishers, requests
from tests.service.texts import TEXTS


@dataclass(frozen=True)
class Row:
    """What is tried, in how many cases, and what comes of it."""

    what: str
    count: int
    expected: str


ROWS: Sequence[Row] = (
    Row(
        "Events that nobody can use, over HTTP, in batches, and by each of the five consumers of both buses",
        len(publishers.UNUSABLE),
        "4xx with `error`, `code` and `field`, nothing stored; one dead letter with its reason, neighbours delivered",
    ),
    Row(
        "Messages that are spoilt around the body: accounts, routing keys, ids, CloudEvents in each mode",
        len(publishers.messages("acc_1")),
        "one dead letter with its reason, its neighbours delivered",
    ),
    Row("Values that look odd and are JSON", len(publishers.ODD), "delivered and shown as they were published"),
    Row("Ids that look odd", len(publishers.ODD_IDS), "kept as the publisher's; what goes out bears an id of ours"),
    Row("Traces that are none", len(publishers.BAD_TRACES), "the event is taken, and the trace goes no further"),
    Row("Bytes that are no request", len(requests.BROKEN), "400 in the API's words, and hung up on"),
    Row("Bodies that are framed wrongly", len(requests.MISFRAMED), "400, nothing stored"),
    Row("Encodings and expectations", len(requests.UNWANTED), "415 or 417, nothing unpacked, nothing stored"),
    Row("Content types other than JSON", len(requests.OTHER_TYPES), "415, nothing stored"),
    Row("Texts that mean something to somebody else", len(TEXTS), "stored, shown as JSON as they were, never as HTML"),
)


def table() -> str:
    """The list in Markdown."""
    lines = ["| what is tried | cases | what comes of it |", "|---|---|---|"]
    lines += [f"| {row.what} | {row.count} | {row.expected} |" for row in ROWS]
    return "\n".join([*lines, f"| all of them | {sum(row.count for row in ROWS)} | |"])
