"""Headers as people copy them: from a log, a terminal, or a program's own way of printing them."""

import re
from collections.abc import Mapping

from delivery.domain.debugging import Pasted

#: ``Name: value``, with what programs write around it: quotes, brackets, commas, curl's ``-H``.
_LINE = re.compile(
    r"""\W*(?:-H\s+\W*)?(?P<name>[A-Za-z][\w-]*)["']?\s*(?:=>|[:=])[\s"'\[]*(?P<value>.*?)[\s"'\],;\\]*\Z"""
)

#: A signature alone, without its name.
_SEED_ALONE = re.compile(r"(?i:(?:sha-?\d+|md5)=\S*|[0-9a-f]{32,})\Z")
_STANDARD_ALONE = re.compile(r"v1a?,\S")


def read_headers(text: str, brand: str) -> Mapping[str, str]:
    r"""Read one header per line, by names in lower case; a signature needs no name.

    >>> read_headers('-H "Webhook-Id: evt_1" \nHTTP_X_TAGMATIC_SIGNATURE=sha256=ab', "Tagmatic")
    {'webhook-id': 'evt_1', 'x-tagmatic-signature': 'sha256=ab'}
    >>> read_headers("sha256=ab", "Tagmatic")
    {'x-tagmatic-signature': 'sha256=ab'}
    """
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if _SEED_ALONE.match(line):
            found[f"x-{brand.lower()}-signature"] = line
        elif _STANDARD_ALONE.match(line):
            found["webhook-signature"] = line
        elif pair := _LINE.match(line):
            found[_named(pair["name"])] = pair["value"]
    return found


def pasted_of(body: bytes, headers: Mapping[str, str], brand: str) -> Pasted:
    """What matters of a body and its headers."""
    return Pasted(
        body=body,
        seed=headers.get(f"x-{brand.lower()}-signature"),
        standard=headers.get("webhook-signature"),
        message_id=headers.get("webhook-id"),
        timestamp=headers.get("webhook-timestamp"),
        event=headers.get(f"x-{brand.lower()}-event"),
    )


def _named(name: str) -> str:
    """The name of a header, also where a web server has made a variable of it."""
    return name.lower().replace("_", "-").removeprefix("http-")
