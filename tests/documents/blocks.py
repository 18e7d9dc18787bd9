"""The code blocks of a document."""

import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

_HEADING = re.compile(r"^#+ (.*)$")
_FENCE = re.compile(r"^```(\w*)$")


def blocks(document: str, language: str) -> Mapping[str, list[str]]:
    """The blocks of one language, by the heading that they stand under."""
    found: dict[str, list[str]] = {}
    heading, inside, kind = "", False, ""
    for line in (ROOT / document).read_text().splitlines():
        fence = _FENCE.match(line)
        if fence:
            inside, kind = not inside, fence[1] or kind
            if inside and fence[1] == language:
                found.setdefault(heading, []).append("")
        elif inside and kind == language:
            found[heading][-1] += line + "\n"
        elif not inside and (title := _HEADING.match(line)):
            heading = title[1]
    return found
