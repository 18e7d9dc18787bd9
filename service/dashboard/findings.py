"""What the signature debugger found, in words, with what to do about it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from delivery.domain.debugging import ALGORITHMS, Diagnosis, Explained, Finding, Foreign, Malformed, Verdict
from delivery.domain.guessing import Slip
from delivery.domain.retelling import Difference, difference
from delivery.registry import Recognition
from service.api.deliveries import DeliveryInFull
from service.dashboard.slips import SLIPS, told
from service.dashboard.words import span

_ALPHABETS = {"hex": "hexadecimal digits", "base64": "characters of base64", None: "characters that are neither"}


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was found; ``about`` names the header, or what it was compared with."""

    kind: Literal["good", "bad", "wait"]
    about: str
    title: str
    words: Sequence[str] = ()


def of_diagnosis(diagnosis: Diagnosis, seed_header: str) -> list[Note]:
    """Say what was found in what was pasted alone."""
    notes = [note for verdict in diagnosis.verdicts for note in _Telling(verdict, diagnosis, seed_header).notes()]
    if diagnosis.mixed:
        title = "The headers are of {}, and the body is of {}".format(*diagnosis.mixed)
        notes.append(Note("bad", "headers and body", title, ["Paste both of one and the same delivery."]))
    return notes


@dataclass(frozen=True, slots=True)
class _Telling:
    """One header's verdict, among everything that was found."""

    verdict: Verdict
    diagnosis: Diagnosis
    seed_header: str

    @property
    def header(self) -> str:
        return self.seed_header if self.verdict.scheme == "seed" else "webhook-signature"

    def notes(self) -> Iterator[Note]:
        for number, finding in enumerate(self.verdict.findings, start=1):
            which = f", signature {number}" if len(self.verdict.findings) > 1 else ""
            yield self._of_finding(finding, self.header + which)
        if not self.verdict.findings:
            yield Note("bad", self.header, "There is no signature of the kind v1 in it", ["Copy the whole header."])
        if self.verdict.scheme == "standard" and "webhook-timestamp" not in self.verdict.missing:
            yield from _of_time(self.verdict)

    def _of_finding(self, finding: Finding, about: str) -> Note:
        match finding:
            case Explained(slips=()):
                return Note("good", about, "It verifies")
            case Explained():
                return Note("bad", about, "It would verify, but for this", list(self._explanations(finding)))
            case Malformed():
                return Note("bad", about, "This is no signature", list(self._of_malformed(finding)))
            case Foreign():
                return self._of_foreign(about)
            case _:
                assert_never(finding)

    def _explanations(self, finding: Explained) -> Iterator[str]:
        prefix = "sha256=" if self.verdict.scheme == "seed" else "v1,"
        for slip in finding.slips:
            if slip is Slip.BODY_CHANGED and finding.body is not None:
                yield "The body is not as it was when it was signed."
                yield from told(finding.body)
            else:
                yield " ".join(SLIPS[slip]).format(header=self.header, prefix=prefix)

    def _of_malformed(self, finding: Malformed) -> Iterator[str]:
        whole = "64 hexadecimal digits" if self.verdict.scheme == "seed" else "44 characters of base64"
        yield f"A signature is {whole}; here are {finding.length} {_ALPHABETS[finding.alphabet]}."
        if finding.alphabet == "hex" and finding.length in ALGORITHMS:
            yield f"So many are made by {ALGORITHMS[finding.length]}. Use HMAC with SHA-256."
        else:
            yield "Copy all of it, and nothing else."

    def _of_foreign(self, about: str) -> Note:
        """Say what is left to doubt, after what the other signatures prove."""
        if self.verdict.missing:
            names = " and ".join(self.verdict.missing)
            return Note("bad", about, f"It cannot be verified without {names}", ["That is signed, too: paste it."])
        if self.verdict.genuine:
            rotating = "While a secret is being rotated there is a signature for each; one that verifies is enough."
            return Note("wait", about, "It was made with another secret", [rotating])
        if self.diagnosis.trusted and self.verdict.scheme == "seed":
            proven = "webhook-signature verifies, so the body is right, and the secret is one of the webhook's."
            older = f"While one is being rotated, {self.header} is made with the newest: yours is an older one."
            return Note("bad", about, "It was made with another secret", [proven, older])
        if self.diagnosis.trusted:
            proven = f"{self.seed_header} verifies, so secret and body are right."
            apart = "Each attempt has a time and a signature of its own: paste all three headers of one and the same."
            return Note("bad", about, "webhook-id or webhook-timestamp is not what was signed", [proven, apart])
        return Note("bad", about, "It was made with another secret, or over another body", _DOUBTS)


_DOUBTS = (
    "Its form is right. Compare the last four characters of your secret with those on the page of the webhook.",
    "If it is the right one, something changed the body in a way that cannot be undone: copy the raw bytes.",
)


def _of_time(verdict: Verdict) -> Iterator[Note]:
    if verdict.lag is None:
        yield Note("bad", "webhook-timestamp", "It is no time", ["It comes as whole seconds since 1970."])
    elif verdict.stale:
        late = verdict.lag.total_seconds() > 0
        title = f"Its time is {span(abs(verdict.lag))} {'ago' if late else 'ahead'}"
        then = "For a delivery of then that is as it should be. If it came just now, your server's clock is wrong."
        words = ["Receivers refuse what is more than five minutes away.", then if late else "Some clock is wrong."]
        yield Note("wait", "webhook-timestamp", title, words)


# -- beside what the log has of it -------------------------------------------------------------------------------------


def of_log(
    delivery: DeliveryInFull, body: bytes, headers: Mapping[str, str], secret: Recognition | None
) -> Iterator[Note]:
    """Compare what was pasted with what was sent, and say whether the secret is the webhook's."""
    if secret is not None:
        yield _of_secret(secret)
    if delivery.attempts:
        yield _of_body(difference(body, delivery.attempts[-1].request.body.encode()))
        sent = [{name.lower(): value for name, value in one.request.headers.items()} for one in delivery.attempts]
        yield from _of_headers(headers, sent)


def _of_secret(secret: Recognition) -> Note:
    valid = f"The one that is valid ends in {' or '.join(secret.last4s)}."
    match secret.standing:
        case "valid":
            return Note("good", "the webhook", "The secret is the webhook's")
        case "expired":
            return Note("bad", "the webhook", "The secret was the webhook's, and is no longer valid", [valid])
        case "unknown":
            lost = "Nobody can show it again. If you have lost it, rotate it on the page of the webhook."
            return Note("bad", "the webhook", "This is not the secret of the webhook", [valid, lost])
        case _:
            assert_never(secret.standing)


def _of_body(found: Difference | None) -> Note:
    if found is None:
        return Note("good", "the log", "The body is the one that was sent")
    return Note("bad", "the log", "The body is not the one that was sent", told(found))


def _of_headers(headers: Mapping[str, str], sent: Sequence[Mapping[str, str]]) -> Iterator[Note]:
    """Tell of headers that no attempt had so, or that no attempt had together."""
    names = [name for name in headers if any(name in one for one in sent)]
    strange = [name for name in names if all(one.get(name) != headers[name] for one in sent)]
    if strange:
        changed = "Something changed it on its way, or it is of another delivery."
        yield Note("bad", "the log", f"Not as it was sent: {', '.join(strange)}", [changed])
    elif not any(all(one.get(name) == headers[name] for name in names) for one in sent):
        apart = "Each attempt has a time and signatures of its own: paste those of one."
        yield Note("bad", "the log", "The headers are of several attempts", [apart])
