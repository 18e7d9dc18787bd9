"""The snippets that verify signatures: each is run by its own language, and judges what the product signs."""

import base64
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

import pytest

from delivery.domain.signing import make_secret, seed_signature, standard_secret, standard_signature
from service.api.docs import page
from service.api.openapi import describe
from service.app import API
from service.snippets import SNIPPETS, Snippet
from tests.documents.blocks import ROOT

_DRIVERS = Path(__file__).with_name("verifiers")

# -- the cases ---------------------------------------------------------------------------------------------------------

#: What a driver reads: which check, and what it is given, in base64.
Call = Sequence[str]

BODY = '{"event":"annotation.completed","data":{"text":"Zoë said: 😀"}}'.encode()
BINARY = bytes(range(256))
OWN = "your-webhook-signing-secret"
MADE = make_secret(bytes(range(32)))
OTHER = make_secret(bytes(32))
ID = "evt_018e3c7d5ea836f675cc81e74ef5"


def _call(check: str, *values: bytes | str) -> Call:
    raw = (value.encode() if isinstance(value, str) else value for value in values)
    return [check, *(base64.b64encode(value).decode() for value in raw)]


def plain(body: bytes = BODY, signature: str = "", secret: str = OWN) -> Call:
    """Check X-Tagmatic-Signature."""
    return _call("signature", body, signature, secret)


def standard(signatures: str, *, at: int | str, body: bytes = BODY, message_id: str = ID, secret: str = MADE) -> Call:
    """Check Standard Webhooks."""
    return _call("webhook", body, message_id, str(at), signatures, standard_secret(secret))


def genuine(now: int) -> Mapping[str, Call]:
    """What every snippet takes."""
    signed, long = partial(standard_signature, ID, now, BODY), make_secret(bytes(64))
    early, late = now - 180, now + 180
    return {
        "a secret of the customer's": plain(signature=seed_signature(BODY, OWN)),
        "a secret that we made": plain(signature=seed_signature(BODY, MADE), secret=MADE),
        "a body that is no text": plain(BINARY, seed_signature(BINARY, OWN)),
        "an empty body": plain(b"", seed_signature(b"", OWN)),
        "standard, a secret that we made": standard(signed([MADE]), at=now),
        "standard, a secret of the customer's": standard(signed([OWN]), at=now, secret=OWN),
        "standard, a secret of 64 bytes": standard(signed([long]), at=now, secret=long),
        "standard, a body that is no text": standard(standard_signature(ID, now, BINARY, [MADE]), at=now, body=BINARY),
        "standard, the first of two": standard(signed([MADE, OTHER]), at=now),
        "standard, the second of two": standard(signed([OTHER, MADE]), at=now),
        "standard, after one of another kind": standard(f"v1a,{'A' * 86}== {signed([MADE])}", at=now),
        "standard, three minutes old": standard(standard_signature(ID, early, BODY, [MADE]), at=early),
        "standard, three minutes ahead": standard(standard_signature(ID, late, BODY, [MADE]), at=late),
    }


def forged(now: int) -> Mapping[str, Call]:
    """What every snippet refuses."""
    mine, ours = seed_signature(BODY, OWN), standard_signature(ID, now, BODY, [MADE])
    changed, early, late = BODY.replace(b"said", b"sald"), now - 600, now + 600
    return {
        "one byte of the body changed": plain(changed, mine),
        "another secret": plain(signature=seed_signature(BODY, OTHER)),
        "the key that the secret decodes to": plain(
            signature=seed_signature(BODY, "A" * 24), secret=make_secret(b"A" * 24)
        ),
        "one digit changed": plain(signature=mine[:-1] + ("1" if mine.endswith("0") else "0")),
        "one digit less": plain(signature=mine[:-1]),
        "one digit more": plain(signature=mine + "0"),
        "without its prefix": plain(signature=mine.removeprefix("sha256=")),
        "nothing but the prefix": plain(signature="sha256="),
        "none at all": plain(signature=""),
        "no ASCII": plain(signature="sha256=é"),
        "standard, one byte of the body changed": standard(ours, at=now, body=changed),
        "standard, another id": standard(ours, at=now, message_id=ID[:-1]),
        "standard, another secret": standard(standard_signature(ID, now, BODY, [OTHER]), at=now),
        "standard, two other secrets": standard(standard_signature(ID, now, BODY, [OTHER, OWN]), at=now),
        "standard, ten minutes old": standard(standard_signature(ID, early, BODY, [MADE]), at=early),
        "standard, ten minutes ahead": standard(standard_signature(ID, late, BODY, [MADE]), at=late),
        "standard, an old one made to look new": standard(standard_signature(ID, early, BODY, [MADE]), at=now),
        "standard, a time that is no number": standard(ours, at="yesterday"),
        "standard, a time with a fraction": standard(ours, at=f"{now}.0"),
        "standard, a time beyond all numbers": standard(ours, at="9" * 400),
        "standard, no time": standard(ours, at=""),
        "standard, none at all": standard("", at=now),
        "standard, nothing but blanks": standard("  ", at=now),
        "standard, without its version": standard(ours.removeprefix("v1,"), at=now),
        "standard, of another version": standard(ours.replace("v1,", "v2,"), at=now),
        "standard, cut off": standard(ours[:-2], at=now),
        "standard, two without a blank": standard(ours + ours, at=now),
        "standard, no ASCII": standard("v1,é", at=now),
    }


# -- the languages -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Language:
    """How a driver is run in a folder with its snippet; ``package`` is Debian's that has what runs it."""

    package: str
    driver: str
    run: Sequence[str]
    build: Sequence[str] = ("true",)


LANGUAGES: Mapping[str, Language] = {
    "Python": Language("python3", "driver.py", [sys.executable, "driver.py"]),
    "Node.js": Language("nodejs", "driver.js", ["node", "driver.js"]),
    "Go": Language("golang-go", "driver.go", ["./example"], ["go", "build"]),
    "Java": Language(
        "default-jdk-headless", "Driver.java", ["java", "Driver"], ["javac", "Driver.java", "Verify.java"]
    ),
    "PHP": Language("php-cli", "driver.php", ["php", "driver.php"]),
    "Ruby": Language("ruby", "driver.rb", ["ruby", "driver.rb"]),
    "C#": Language("mono-mcs", "Driver.cs", ["mono", "Driver.exe"], ["mcs", "Driver.cs", "Verify.cs"]),
}

Judge = Callable[[Mapping[str, Call]], Mapping[str, str]]


def _done(command: Sequence[str], folder: Path, package: str, said: str = "") -> str:
    here = shutil.which(command[0]) or (folder / command[0]).exists()
    assert here, f"{command[0]} is missing: apt-get install {package}"
    done = subprocess.run(command, cwd=folder, input=said, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=SNIPPETS, ids=lambda snippet: snippet.language)
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """A snippet, ready to run: what does it say to each of these calls?"""
    snippet: Snippet = request.param
    language, folder = LANGUAGES[snippet.language], tmp_path_factory.mktemp("verify")
    shutil.copy(_DRIVERS / language.driver, folder)
    home = folder / "webhooks" if snippet.language == "Go" else folder  # there, a package is a folder
    home.mkdir(exist_ok=True)
    (home / snippet.file).write_text(snippet.text)
    (folder / "go.mod").write_text("module example\n\ngo 1.19\n")
    _done(language.build, folder, language.package)

    def judged(calls: Mapping[str, Call]) -> Mapping[str, str]:
        said = "".join("\t".join(call) + "\n" for call in calls.values())
        verdicts = _done(language.run, folder, language.package, said).lower().split()
        return dict(zip(calls, verdicts, strict=True))

    return judged


def test_every_language_that_is_shown_is_run() -> None:
    assert LANGUAGES.keys() == {snippet.language for snippet in SNIPPETS}


@pytest.mark.slow
def test_a_snippet_takes_what_is_genuine(judge: Judge) -> None:
    verdicts = judge(genuine(int(time.time())))
    assert [name for name, verdict in verdicts.items() if verdict != "true"] == []


@pytest.mark.slow
def test_a_snippet_refuses_what_is_forged_or_old(judge: Judge) -> None:
    verdicts = judge(forged(int(time.time())))
    assert [name for name, verdict in verdicts.items() if verdict != "false"] == []


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.language)
def test_a_snippet_is_found_from_the_readme_and_on_the_page_of_the_api(snippet: Snippet) -> None:
    assert f"[{snippet.file}](service/snippets/{snippet.file})" in (ROOT / "README.md").read_text()
    assert escape(snippet.text) in page(describe(API))
