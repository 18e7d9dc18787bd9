"""Whether an answer is like a printed one: what every run makes anew may differ, and everything else may not."""

import json
import re
from typing import Any

#: What is made anew, and remembered: the same thing is the same from then on.
_NAMES = re.compile(r"[a-z]+_[0-9a-f]{28}|tmk_\w{32}|whsec_[\w+/=]{32,}")

#: What is made anew each time: moments, seconds, dates of HTTP, signatures, tokens and cursors.
_TRACES = (
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    re.compile(r"\d{10}"),
    re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"),
    re.compile(r"sha256=[0-9a-f]{64}"),
    re.compile(r"v1,[\w+/]{43}="),
    re.compile(r"[\w.-]{40,}"),
)

#: What ends a line of metrics.
_COUNT = re.compile(r" [\d.]+$")


class Likeness:
    """``known`` is what stands for what: printed, and in this run."""

    def __init__(self, known: dict[str, str]) -> None:
        self.known = known

    def translated(self, text: str) -> str:
        """A printed text with everything in it that is known replaced; the longest first."""
        for printed in sorted(self.known, key=len, reverse=True):
            text = text.replace(printed, self.known[printed])
        return text

    def expect(self, printed: Any, given: Any, *, partly: bool = False, at: str = "answer") -> None:
        """Fail, and say where, unless what was given is like what is printed, or like this part of it."""
        match printed, given:
            case dict(), dict():
                missing = printed.keys() - given.keys() if partly else printed.keys() ^ given.keys()
                assert not missing, f"{at}: {sorted(missing)} on one side only"
                for name, value in printed.items():
                    self.expect(value, given[name], partly=partly, at=f"{at}.{name}")
            case list() | tuple(), list():
                assert len(printed) == len(given) or (partly and len(printed) < len(given)), f"{at}: {given}"
                for index, value in enumerate(printed):
                    self.expect(value, given[index], partly=partly, at=f"{at}.{index}")
            case str(), str():
                self._expect_text(printed, given, partly=partly, at=at)
            case float(), float() | None:  # a duration, or a step that was not taken this time
                pass
            case _:
                assert (type(printed), printed) == (type(given), given), at

    def _expect_text(self, printed: str, given: str, *, partly: bool, at: str) -> None:
        if printed.startswith("{"):
            self.expect(json.loads(printed), json.loads(given), at=at)
        elif printed in self.known:
            assert given == self.known[printed], at
        elif _NAMES.fullmatch(printed):
            assert _NAMES.fullmatch(given), f"{at}: {given}"
            assert given.partition("_")[0] == printed.partition("_")[0], at
            self.known[printed] = given
        elif at.endswith(".last4"):
            assert len(given) == len(printed), at
        elif not any(trace.fullmatch(printed) and trace.fullmatch(given) for trace in _TRACES):
            lines = [_COUNT.sub("", line) for line in printed.splitlines()] if partly else []
            same = self.translated(printed) == given
            assert all(line in given for line in lines) if partly else same, f"{at}: {given}"
