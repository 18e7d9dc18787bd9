"""Clocks that a test sets, for processes of their own: this machine's clock is left alone (Debian's libfaketime)."""

from collections.abc import Mapping
from pathlib import Path

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class SetClock:
    """The clock of one process: the machine's, set forward or back by so many seconds."""

    def __init__(self, file: Path) -> None:
        assert _LIBRARIES, "libfaketime is missing: apt-get install libfaketime (make test does it)"
        self._file = file
        self.set(0)

    def set(self, seconds: int) -> None:
        """Set it, while the process runs."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        fresh.replace(self._file)  # in one step: the process reads it at any moment

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes a process go by it; what only measures how long things take goes on as it does."""
        return {
            "LD_PRELOAD": str(_LIBRARIES[-1]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
