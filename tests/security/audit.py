"""`make audit`: what is locked, held against the list of known vulnerabilities.

Exits 1 when something is vulnerable, or could not be looked up while others could. Where the list as a whole cannot be
reached nothing is known, good or bad: that is said, and is no failure, so that the tests can run without the internet.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LOCK = Path(__file__).parents[2] / "requirements-dev.lock"
_PATIENCE_S = 600


@dataclass(frozen=True)
class Verdict:
    """What to say, and how to exit."""

    lines: Sequence[str]
    code: int


def judge(dependencies: Sequence[Any]) -> Verdict:
    """Decide on the answers about all dependencies.

    >>> judge([{"name": "a", "version": "1", "vulns": []}]).lines
    ['1 packages, none with a known vulnerability']
    >>> judge([{"name": "a", "skip_reason": "not found"}]).code
    0
    """
    unknown = [entry["name"] for entry in dependencies if "skip_reason" in entry]
    if len(unknown) == len(dependencies):
        return _unreachable("it knows none of the packages")
    bad = [
        f"{entry['name']} {entry['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version'}"
        for entry in dependencies
        for flaw in entry.get("vulns", ())
    ]
    bad += [f"{name}: could not be looked up" for name in unknown]
    return Verdict(bad or [f"{len(dependencies)} packages, none with a known vulnerability"], 1 if bad else 0)


def _unreachable(why: str) -> Verdict:
    return Verdict([f"WARNING: nothing was audited; the list of vulnerabilities cannot be reached from here: {why}"], 0)


def audit() -> Verdict:
    """Ask about everything that is locked."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--requirement", str(_LOCK)]
    options = ["--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:  # as good as unreachable
        return _unreachable(f"no answer within {_PATIENCE_S} s")
    if done.stdout.startswith("{"):
        return judge(json.loads(done.stdout)["dependencies"])
    last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
    return _unreachable(last) if "Connection" in done.stderr else Verdict([f"pip-audit failed: {last}"], 1)


def main() -> None:
    """Audit, say what was found, exit."""
    verdict = audit()
    for line in verdict.lines:
        print(line, flush=True)
    sys.exit(verdict.code)


if __name__ == "__main__":
    main()
