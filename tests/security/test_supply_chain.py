"""What is installed is what is locked, every bit of it, and nothing is locked that nobody needs."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.security.audit import judge

_ROOT = Path(__file__).parents[2]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
_EXTRAS = _PROJECT["optional-dependencies"]

#: What each lock file is for.
LOCKS = {
    "requirements.lock": [*_PROJECT["dependencies"], *_EXTRAS["build"]],
    "requirements-dev.lock": [*_PROJECT["dependencies"], *_EXTRAS["build"], *_EXTRAS["dev"]],
}
_ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)( ; [^\\]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def locked(lock: str) -> dict[str, tuple[str, str]]:
    """Version and condition of every package that a lock file holds with a hash."""
    text = (_ROOT / lock).read_text()
    return {canonicalize_name(name): (version, marker) for name, version, marker, _ in _ENTRY.findall(text)}


def needed(requirements: Iterable[str]) -> dict[str, list[Requirement]]:
    """Everything that is required here, directly or by what is required, with what is asked of it."""
    found: dict[str, list[Requirement]] = {}
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        found.setdefault(canonicalize_name(wanted.name), []).append(wanted)
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key not in seen:
            seen.add(key)
            waiting += _required_by(wanted)
    return found


def _required_by(wanted: Requirement) -> Iterator[Requirement]:
    for text in distribution(wanted.name).requires or ():
        requirement = Requirement(text)
        extras = ["", *wanted.extras]
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_file_pins_a_version_with_its_hashes(lock: str) -> None:
    text = (_ROOT / lock).read_text()
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    begun = [line for line in lines if not line.startswith(" ")]
    assert len(_ENTRY.findall(text)) == len(begun)
    assert sum(len(entry[3].split()) // 2 for entry in _ENTRY.findall(text)) == len(lines) - len(begun)
    assert "://" not in "".join(lines), "packages come from the index, and not from anywhere else"


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_that_is_needed_is_locked_in_a_version_that_will_do(lock: str) -> None:
    have = locked(lock)
    for name, wishes in needed(LOCKS[lock]).items():
        assert name in have, f"{name} is needed and not in {lock}: make lock"
        for wish in wishes:
            assert wish.specifier.contains(have[name][0], prereleases=True), f"{wish}, and {lock} has {have[name][0]}"


@pytest.mark.parametrize("lock", LOCKS)
def test_nothing_is_locked_that_nobody_needs(lock: str) -> None:
    here = {name for name, (_, marker) in locked(lock).items() if not marker or _holds(marker)}
    assert here - set(needed(LOCKS[lock])) == set()


def _holds(marker: str) -> bool:
    condition: Any = Requirement(f"x{marker}").marker
    return bool(condition.evaluate())


def test_tests_run_on_what_runs_in_service() -> None:
    assert locked("requirements.lock").items() <= locked("requirements-dev.lock").items()


def test_what_is_installed_here_is_what_is_locked() -> None:
    for name, (version, marker) in locked("requirements-dev.lock").items():
        if not marker or _holds(marker):
            assert distribution(name).version == version


def test_what_is_installed_here_fits_together() -> None:
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_every_dependency_of_the_service_has_its_reason_beside_it() -> None:
    text = (_ROOT / "pyproject.toml").read_text()
    block = text.partition("\ndependencies = [\n")[2].partition("\n]")[0]
    assert block
    assert [line for line in block.splitlines() if " # " not in line] == []


GOOD = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "1.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found"}


def test_the_audit_fails_for_what_is_vulnerable_and_for_what_could_not_be_looked_up() -> None:
    assert judge([GOOD, BAD]).lines == ["bad 1.0: CVE-2026-1, mended in 1.1"]
    assert judge([GOOD, BAD]).code == judge([GOOD, UNKNOWN]).code == 1
    assert judge([GOOD]).code == 0


def test_where_nothing_can_be_looked_up_the_audit_says_so_loudly_and_fails_nobody() -> None:
    verdict = judge([UNKNOWN, UNKNOWN])
    assert verdict.code == 0
    assert verdict.lines[0].startswith("WARNING: nothing was audited")
