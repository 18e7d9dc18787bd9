"""Why a signature does not verify: the first explanation that makes it come out right, or what is left to doubt.

Mistakes leave traces that can be tried: a secret with a line break, a body that was written again, another algorithm.
Each way in which the signature may have been made is a key, a message and a digest; the fewest mistakes come first.
"""

import base64
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from delivery.domain.envelope import read_json
from delivery.domain.errors import InvalidEvent
from delivery.domain.guessing import Scheme, Slip, Stamp, Way, seconds, ways
from delivery.domain.retelling import Difference, difference, retellings

#: In what a signature is written.
Alphabet = Literal["hex", "base64"]

#: By how much a clock may be wrong: what the libraries of Standard Webhooks take.
PATIENCE = timedelta(minutes=5)

#: The lengths of digests, in hexadecimal digits, with the algorithms that make them.
ALGORITHMS = {32: "MD5", 40: "SHA-1", 64: "SHA-256", 96: "SHA-384", 128: "SHA-512"}

_HEX_DIGITS = 64

#: From so many digits on, what agrees with the beginning of a signature is one that was cut off.
_TELLING_DIGITS = 8

#: More signatures than an endpoint has secrets.
_MOST_SIGNATURES = 10

_PREFIX = re.compile(r"\A(?i:(?:sha-?\d+|md5)=|v1,)")
_HEX = re.compile(r"(?:[0-9a-f]+|[0-9A-F]+)\Z")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}\Z")


@dataclass(frozen=True, slots=True)
class Pasted:
    """What a receiver got: the body, and those headers that matter, as they came; None: it is not there."""

    body: bytes
    seed: str | None = None
    standard: str | None = None
    message_id: str | None = None
    timestamp: str | None = None
    event: str | None = None

    @property
    def stamp(self) -> Stamp | None:
        """What Standard Webhooks sign before the body, if it is there."""
        whole = self.message_id is not None and self.timestamp is not None
        return (self.message_id or "", self.timestamp or "") if whole else None


@dataclass(frozen=True, slots=True)
class Explained:
    """How the signature was made. Without slips it verifies; ``body`` is how that pasted differs from that signed."""

    slips: tuple[Slip, ...] = ()
    body: Difference | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """No signature at all: so many characters, and in what they are written; None: in something else."""

    length: int
    alphabet: Alphabet | None


@dataclass(frozen=True, slots=True)
class Foreign:
    """Written as it should be, and made with another secret, or over another body."""


Finding = Explained | Malformed | Foreign

#: What verifies.
GENUINE = Explained()


@dataclass(frozen=True, slots=True)
class Verdict:
    """About one header: a finding for each signature in it, in their order.

    ``missing`` are headers that are signed and were not pasted; ``lag`` is how long ago the timestamp was, None where
    the scheme has none or it is no time.
    """

    scheme: Scheme
    findings: tuple[Finding, ...]
    missing: tuple[str, ...] = ()
    lag: timedelta | None = None

    @property
    def genuine(self) -> bool:
        """Whether the header verifies: one good signature is enough."""
        return GENUINE in self.findings

    @property
    def stale(self) -> bool:
        """Whether a receiver would refuse it for its time."""
        return self.lag is not None and abs(self.lag) > PATIENCE


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """About everything that was pasted. ``mixed``: the event that the headers tell of, and that in the body."""

    verdicts: tuple[Verdict, ...]
    mixed: tuple[str, str] | None = None

    @property
    def trusted(self) -> bool:
        """Whether some signature proves that secret and body belong together."""
        return any(verdict.genuine for verdict in self.verdicts)


def diagnose(pasted: Pasted, secret: str, now: datetime) -> Diagnosis:
    """Look into each signature that was pasted."""
    bodies = [pasted.body, *retellings(pasted.body)]

    def findings(scheme: Scheme, signatures: Sequence[str]) -> tuple[Finding, ...]:
        return _explained(signatures, scheme, ways(bodies, pasted.stamp, secret, scheme), pasted.body)

    verdicts = []
    if pasted.seed is not None:
        verdicts.append(Verdict("seed", findings("seed", [pasted.seed.strip()])))
    if pasted.standard is not None:
        # v1a are signatures with a public key, which a secret neither makes nor verifies
        signatures = [one for one in pasted.standard.split() if not one.startswith("v1a,")]
        lag = _lag(pasted.timestamp, now)
        verdicts.append(Verdict("standard", findings("standard", signatures), _missing(pasted), lag))
    return Diagnosis(tuple(verdicts), _mixed(pasted))


def _missing(pasted: Pasted) -> tuple[str, ...]:
    needed = {"webhook-id": pasted.message_id, "webhook-timestamp": pasted.timestamp}
    return tuple(name for name, value in needed.items() if value is None)


def _lag(timestamp: str | None, now: datetime) -> timedelta | None:
    then = seconds(timestamp or "")
    return None if then is None else now - datetime.fromtimestamp(int(then), UTC)


def _mixed(pasted: Pasted) -> tuple[str, str] | None:
    try:
        value = read_json(pasted.body, most_bytes=len(pasted.body))
    except InvalidEvent:  # then it tells of nothing
        return None
    told = value.get("event") if isinstance(value, dict) else None
    return (pasted.event, told) if pasted.event and isinstance(told, str) and told != pasted.event else None


# -- how it is written -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Written:
    """A signature, read: in hexadecimal digits, and how it was written, with what is wrong about that."""

    digits: str
    length: int
    alphabet: Alphabet
    slips: tuple[Slip, ...]


def _read(text: str, scheme: Scheme) -> _Written | Malformed:
    bare = _PREFIX.sub("", text, count=1)
    slips = (Slip.NO_PREFIX,) if bare == text else ()
    # in 44 characters of base64 there may be nothing but hexadecimal digits, in 64 hardly
    if _HEX.match(bare) and (scheme == "seed" or len(bare) in ALGORITHMS):
        return _Written(bare.lower(), len(bare), "hex", (*slips, *_about_hex(bare, scheme)))
    if not _BASE64.match(bare) or len(bare.rstrip("=")) % 4 == 1:
        return Malformed(len(bare), None)
    return _Written(_base64(bare).hex(), len(bare), "base64", (*slips, *_about_base64(bare, scheme)))


def _about_hex(text: str, scheme: Scheme) -> Iterator[Slip]:
    if scheme == "standard":
        yield Slip.HEX_FOR_BASE64
    elif text != text.lower():
        yield Slip.UPPER_CASE


def _about_base64(text: str, scheme: Scheme) -> Iterator[Slip]:
    if scheme == "seed":
        yield Slip.BASE64_FOR_HEX
    elif base64.b64encode(_base64(text)).decode() != text:
        yield Slip.URL_SAFE


def _base64(text: str) -> bytes:
    """Decode either alphabet, with padding or without."""
    bare = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    return base64.b64decode(bare + "=" * (-len(bare) % 4))


# -- how it was made ---------------------------------------------------------------------------------------------------


def _explained(signatures: Sequence[str], scheme: Scheme, made: Iterator[Way], body: bytes) -> tuple[Finding, ...]:
    """Try all ways, those with the fewest mistakes first, until each signature is explained."""
    read = [_read(signature, scheme) for signature in signatures[:_MOST_SIGNATURES]]
    left = {index: one for index, one in enumerate(read) if isinstance(one, _Written)}
    found: dict[int, Finding] = {}
    while left and (way := next(made, None)):
        for index, written in list(left.items()):
            if (slips := _agreement(written, way.result)) is not None:
                found[index] = Explained((*slips, *way.slips), difference(body, way.body))
                del left[index]
    return tuple(found.get(index) or _unexplained(one) for index, one in enumerate(read))


def _agreement(written: _Written, result: str) -> tuple[Slip, ...] | None:
    """What is wrong about how a result was written down; None: it is another one."""
    shown = len(written.digits)
    if shown < _TELLING_DIGITS or not hmac.compare_digest(written.digits, result[:shown]):
        return None
    return written.slips if shown == len(result) else (*written.slips, Slip.CUT_OFF)


def _unexplained(read: _Written | Malformed) -> Finding:
    if isinstance(read, Malformed):
        return read
    return Foreign() if len(read.digits) == _HEX_DIGITS else Malformed(read.length, read.alphabet)
