"""The laws of debugging: what verifies is called so, each mistake is found by its name, and nothing is made up."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.domain.debugging import GENUINE, Explained, Foreign, Malformed, Pasted, Verdict, diagnose
from delivery.domain.envelope import write_json
from delivery.domain.guessing import Slip
from delivery.domain.retelling import Change
from delivery.domain.signing import make_secret, seed_signature, standard_key, standard_secret, standard_signature
from tests.support.samples import envelope

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
OWN = "your-webhook-signing-secret"
OURS = make_secret(bytes(range(32)))
BODY = write_json(envelope(note="é"))

typed = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=8, max_size=128)
secrets = st.one_of(typed, st.binary(min_size=24, max_size=64).map(make_secret))
bodies = st.binary(max_size=500)


def sent(body: bytes = BODY, *valid: str, **changes: str | None) -> Pasted:
    """What a receiver gets from us, unless the changes say otherwise."""
    valid = valid or (OWN,)
    genuine = Pasted(
        body, seed_signature(body, valid[0]), standard_signature("evt_1", AT, body, valid), "evt_1", str(AT)
    )
    return replace(genuine, **changes)  # type: ignore[arg-type] # their names are right


def about(pasted: Pasted, secret: str, scheme: str) -> Verdict:
    [verdict] = [one for one in diagnose(pasted, secret, NOW).verdicts if one.scheme == scheme]
    return verdict


def slips(pasted: Pasted, secret: str = OWN, scheme: str = "seed") -> set[Slip]:
    [finding] = about(pasted, secret, scheme).findings
    assert isinstance(finding, Explained), finding
    return set(finding.slips)


# -- what verifies -----------------------------------------------------------------------------------------------------


@given(bodies, secrets)
def test_what_we_send_verifies_by_both_schemes(body: bytes, secret: str) -> None:
    diagnosis = diagnose(sent(body, secret), secret, NOW)
    assert [(one.scheme, one.findings, one.stale) for one in diagnosis.verdicts] == [
        ("seed", (GENUINE,), False),
        ("standard", (GENUINE,), False),
    ]
    assert diagnosis.trusted


@given(secrets)
def test_the_secret_in_the_form_for_libraries_verifies_the_signature_for_libraries(secret: str) -> None:
    assert about(sent(BODY, secret), standard_secret(secret), "standard").genuine


@given(st.lists(secrets, min_size=2, max_size=5, unique_by=standard_key), st.data())
def test_in_a_rotation_it_says_which_signature_is_whose(valid: list[str], data: st.DataObject) -> None:
    mine = data.draw(st.integers(0, len(valid) - 1))
    verdict = about(sent(BODY, *valid), valid[mine], "standard")
    assert [finding == GENUINE for finding in verdict.findings] == [index == mine for index in range(len(valid))]
    assert verdict.genuine


# -- what does not -----------------------------------------------------------------------------------------------------


@given(st.text(st.characters(categories=["L", "N", "P"]), min_size=8), secrets.map(str.strip))
def test_another_secret_is_never_explained_away(mine: str, theirs: str) -> None:
    if mine in theirs or theirs in mine:
        return
    diagnosis = diagnose(sent(BODY, theirs), mine, NOW)
    assert [one.findings for one in diagnosis.verdicts] == [(Foreign(),), (Foreign(),)]
    assert not diagnosis.trusted


@pytest.mark.parametrize("name", ["job_id", "text"])
def test_another_body_is_never_explained_away(name: str) -> None:
    other = write_json(envelope(note="é", **{name: "another"}))
    assert about(replace(sent(), body=other), OWN, "seed").findings == (Foreign(),)


@given(st.builds(Pasted, st.binary(max_size=60), *[st.none() | st.text(max_size=80)] * 5), st.text(max_size=40))
def test_whatever_is_pasted_has_a_diagnosis(pasted: Pasted, secret: str) -> None:
    diagnosis = diagnose(pasted, secret, NOW)
    assert not diagnosis.trusted
    assert len(diagnosis.verdicts) == sum(one is not None for one in (pasted.seed, pasted.standard))


# -- how the signature is written --------------------------------------------------------------------------------------


def _hmac(message: bytes, key: bytes = OWN.encode(), algorithm: str = "sha256") -> str:
    return hmac.new(key, message, algorithm).hexdigest()


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


HEX = _hmac(BODY)
STAMP = f"evt_1.{AT}.".encode()
STANDARD = _hmac(STAMP + BODY)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HEX, {Slip.NO_PREFIX}),
        ("sha256=" + HEX.upper(), {Slip.UPPER_CASE}),
        (HEX.upper(), {Slip.NO_PREFIX, Slip.UPPER_CASE}),
        ("sha256=" + _base64(HEX), {Slip.BASE64_FOR_HEX}),
        ("sha256=" + HEX[:40], {Slip.CUT_OFF}),
        ("sha256=" + HEX[:-1], {Slip.CUT_OFF}),
        ("sha1=" + _hmac(BODY, algorithm="sha1"), {Slip.SHA1}),
        ("sha256=" + _hmac(BODY, algorithm="md5"), {Slip.MD5}),
        ("sha384=" + _hmac(BODY, algorithm="sha384"), {Slip.SHA384}),
        ("sha512=" + _hmac(BODY, algorithm="sha512"), {Slip.SHA512}),
        ("sha256=" + hashlib.sha256(BODY).hexdigest(), {Slip.NO_KEY}),
        ("sha256=" + hashlib.sha256(OWN.encode() + BODY).hexdigest(), {Slip.KEY_BESIDE_BODY}),
        ("sha256=" + hashlib.sha256(BODY + OWN.encode()).hexdigest(), {Slip.KEY_BESIDE_BODY}),
        ("sha256=" + _hmac(OWN.encode(), BODY), {Slip.SWAPPED}),
        ("sha256=" + _hmac(hashlib.sha256(BODY).hexdigest().encode()), {Slip.DIGEST_SIGNED}),
        ("sha256=" + STANDARD, {Slip.ID_AND_TIME_TOO}),
        ("v1," + _base64(STANDARD), {Slip.BASE64_FOR_HEX, Slip.ID_AND_TIME_TOO}),
    ],
)
def test_each_mistake_in_the_seeds_signature_has_its_name(header: str, expected: set[Slip]) -> None:
    assert slips(sent(seed=header)) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (_base64(STANDARD), {Slip.NO_PREFIX}),
        ("v1," + STANDARD, {Slip.HEX_FOR_BASE64}),
        ("v1," + _base64(STANDARD).rstrip("="), {Slip.URL_SAFE}),
        ("v1," + _base64(STANDARD).translate(str.maketrans("+/", "-_")).rstrip("="), {Slip.URL_SAFE}),
        ("v1," + _base64(_hmac(STAMP + BODY, algorithm="sha512")), {Slip.SHA512}),
        ("v1," + _base64(_hmac(BODY)), {Slip.BODY_ALONE}),
        ("v1," + _base64(STANDARD) + " v1a,c2lnbmVkIHdpdGggYSBwdWJsaWMga2V5", set()),
    ],
)
def test_each_mistake_in_the_standard_signature_has_its_name(header: str, expected: set[Slip]) -> None:
    assert slips(sent(standard=header), scheme="standard") == expected


@pytest.mark.parametrize(
    ("header", "finding"),
    [
        ("sha256=" + "0" * 64, Foreign()),
        ("sha256=" + "0" * 63, Malformed(63, "hex")),
        ("sha256=" + "0" * 65, Malformed(65, "hex")),
        ("sha1=" + "0" * 40, Malformed(40, "hex")),
        ("sha256=" + HEX[:20] + "…", Malformed(21, None)),
        ("sha256=", Malformed(0, None)),
        ("", Malformed(0, None)),
    ],
)
def test_what_is_no_signature_is_told_by_its_length(header: str, finding: Any) -> None:
    assert about(sent(seed=header), OWN, "seed").findings == (finding,)


# -- the secret --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("around", [" {}", "{}\n", "{}\r\n", "\t{} "])
@pytest.mark.parametrize("secret", [OWN, OURS])
@pytest.mark.parametrize("scheme", ["seed", "standard"])
def test_blanks_around_the_secret_are_found(around: str, secret: str, scheme: str) -> None:
    assert slips(sent(BODY, secret), around.format(secret), scheme) == {Slip.SPACE_AROUND_SECRET}


@pytest.mark.parametrize("scheme", ["seed", "standard"])
def test_a_secret_without_its_whsec_is_found(scheme: str) -> None:
    bare = OURS.removeprefix("whsec_")
    assert slips(sent(BODY, OURS), bare, scheme) == {Slip.WHSEC_MISSING}
    assert slips(sent(BODY, OURS), f"{bare}\n", scheme) == {Slip.WHSEC_MISSING, Slip.SPACE_AROUND_SECRET}


@pytest.mark.parametrize("scheme", ["seed", "standard"])
def test_a_whsec_that_does_not_belong_there_is_found(scheme: str) -> None:
    assert slips(sent(), "whsec_" + OWN, scheme) == {Slip.WHSEC_TOO_MUCH}


def test_a_key_in_the_form_of_the_other_scheme_is_found() -> None:
    decoded, text = standard_key(OURS), OURS.encode()
    assert slips(sent(seed="sha256=" + _hmac(BODY, decoded)), OURS) == {Slip.SECRET_DECODED}
    other = sent(standard="v1," + _base64(_hmac(STAMP + BODY, text)))
    assert slips(other, OURS, "standard") == {Slip.SECRET_NOT_DECODED}
    assert slips(sent(), standard_secret(OWN)) == {Slip.SECRET_DECODED}


# -- the body ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["seed", "standard"])
@pytest.mark.parametrize(
    ("got", "change"),
    [
        (BODY + b"\n", Change.LINE_BREAK_AT_END),
        (b"\xef\xbb\xbf" + BODY, Change.BYTE_ORDER_MARK),
        (json.dumps(json.loads(BODY), ensure_ascii=False).encode(), Change.SPACES),
        (json.dumps(json.loads(BODY), ensure_ascii=False, indent=2).encode(), Change.SPACES),
        (json.dumps(json.loads(BODY), separators=(",", ":")).encode(), Change.ESCAPES),
        (
            json.dumps(json.loads(BODY), separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode(),
            Change.KEY_ORDER,
        ),
        (
            BODY.decode().encode("latin-1").decode("latin-1").encode().replace("é".encode(), "Ã©".encode()),
            Change.CHARACTER_SET,
        ),
    ],
)
def test_what_happened_to_the_body_is_told_by_its_name(got: bytes, change: Change, scheme: str) -> None:
    [finding] = about(replace(sent(), body=got), OWN, scheme).findings
    assert isinstance(finding, Explained)
    assert (finding.slips, finding.body and finding.body.changes) == ((Slip.BODY_CHANGED,), (change,))


def test_line_ends_that_were_changed_on_the_way_are_found() -> None:
    body = b'{"a":\n1}'
    [finding] = about(replace(sent(body), body=b'{"a":\r\n1}'), OWN, "seed").findings
    assert isinstance(finding, Explained)
    assert finding.body is not None
    assert finding.body.changes == (Change.LINE_ENDS,)


def test_a_signature_that_somebody_made_over_the_body_as_they_wrote_it_again_is_found() -> None:
    theirs = json.dumps(json.loads(BODY)).encode()
    [finding] = about(sent(seed=seed_signature(theirs, OWN)), OWN, "seed").findings
    assert isinstance(finding, Explained)
    assert finding.body is not None
    assert set(finding.body.changes) == {Change.SPACES, Change.ESCAPES}


def test_two_mistakes_at_once_are_found() -> None:
    pretty = json.dumps(json.loads(BODY), indent=2).encode()
    assert slips(replace(sent(), body=pretty), OWN + "\n") == {Slip.BODY_CHANGED, Slip.SPACE_AROUND_SECRET}


# -- what stands around it ---------------------------------------------------------------------------------------------


@given(st.integers(-100_000, 100_000))
def test_a_time_that_is_too_far_away_is_told_though_the_signature_verifies(seconds: int) -> None:
    verdict = next(
        one for one in diagnose(sent(), OWN, NOW + timedelta(seconds=seconds)).verdicts if one.lag is not None
    )
    assert verdict.genuine
    assert verdict.lag == timedelta(seconds=seconds)
    assert verdict.stale == (abs(seconds) > 300)


@pytest.mark.parametrize(
    ("pasted", "name"), [(sent(message_id=None), "webhook-id"), (sent(timestamp=None), "webhook-timestamp")]
)
def test_without_its_id_or_time_a_standard_signature_proves_nothing_and_that_is_told(pasted: Pasted, name: str) -> None:
    verdict = about(pasted, OWN, "standard")
    assert (verdict.missing, verdict.findings) == ((name,), (Foreign(),))


@pytest.mark.parametrize("pasted", [sent(message_id="evt_2"), sent(timestamp=str(AT - 1))])
def test_an_id_or_time_that_was_changed_leaves_the_other_signature_to_prove_the_rest(pasted: Pasted) -> None:
    diagnosis = diagnose(pasted, OWN, NOW)
    assert [one.findings for one in diagnosis.verdicts] == [(GENUINE,), (Foreign(),)]
    assert diagnosis.trusted


@pytest.mark.parametrize("written", [f"{AT}000", "2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00"])
def test_a_time_that_was_written_otherwise_is_found(written: str) -> None:
    assert slips(sent(timestamp=written), scheme="standard") == {Slip.TIME_REWRITTEN}


def test_headers_of_one_event_beside_the_body_of_another_are_found() -> None:
    mixed = diagnose(sent(event="batch.failed"), OWN, NOW).mixed
    assert mixed == ("batch.failed", "annotation.completed")
    assert diagnose(sent(event="annotation.completed"), OWN, NOW).mixed is None
