"""Mistakes with signatures in words: what is wrong, and what to do about it."""

from collections.abc import Mapping

from delivery.domain.guessing import Slip
from delivery.domain.retelling import Change, Difference

_ALGORITHM = "Use HMAC with SHA-256."

#: What is wrong, and what to do. In braces: the header's name, and what stands before a signature in it.
SLIPS: Mapping[Slip, tuple[str, str]] = {
    Slip.NO_PREFIX: (
        "There is no “{prefix}” before it.",
        "Deliveries have it. In your code, take it off before you compare, or put it before what you compute.",
    ),
    Slip.UPPER_CASE: (
        "Its digits are in upper case.",
        "Deliveries have lower case, and a comparison takes letters as they are: write what you compute in lower case.",
    ),
    Slip.BASE64_FOR_HEX: (
        "It is written in base64, and {header} has hexadecimal digits.",
        'Ask for these: hexdigest() in Python, digest("hex") in Node.js.',
    ),
    Slip.HEX_FOR_BASE64: (
        "It is written in hexadecimal digits, and {header} has base64.",
        'Ask for that: b64encode(….digest()) in Python, digest("base64") in Node.js.',
    ),
    Slip.URL_SAFE: (
        "It is in another base64: with - and _, or without the = at its end.",
        "Use the usual alphabet, with + and /, and padding.",
    ),
    Slip.CUT_OFF: (
        "Its end is missing; what is there is right.",
        "Look for where it is cut: a log, a column or a variable that is too short.",
    ),
    Slip.SPACE_AROUND_SECRET: (
        "There are blanks or a line break around the secret.",
        "They count. Files and pasted lines often end with one: strip it where the secret is read.",
    ),
    Slip.WHSEC_MISSING: (
        "The secret lacks its beginning, whsec_.",
        "Use it as it was shown, with whsec_: all of its characters count.",
    ),
    Slip.WHSEC_TOO_MUCH: (
        "The secret does not begin with whsec_: that was put before it.",
        "Use it as it was registered. Beside it stands the form for libraries of Standard Webhooks.",
    ),
    Slip.SECRET_DECODED: (
        "The key is the secret after decoding from base64; {header} is made with the secret as text, whsec_ and all.",
        "Do not decode it. If you typed the form for libraries of Standard Webhooks, use the secret itself.",
    ),
    Slip.SECRET_NOT_DECODED: (
        "The key is the secret as text; {header} is made with the bytes that stand behind whsec_ in base64.",
        "Decode these first, or let a library of Standard Webhooks do it.",
    ),
    Slip.BODY_ALONE: (
        "It was made over the body alone.",
        "{header} covers webhook-id, webhook-timestamp and the body, with full stops between: id.timestamp.body.",
    ),
    Slip.ID_AND_TIME_TOO: (
        "It was made over id.timestamp.body.",
        "{header} covers the body alone.",
    ),
    Slip.TIME_REWRITTEN: (
        "The timestamp was written otherwise when it was signed.",
        "Use webhook-timestamp exactly as it comes: whole seconds since 1970, as text.",
    ),
    Slip.MD5: ("It was made with MD5.", _ALGORITHM),
    Slip.SHA1: ("It was made with SHA-1.", _ALGORITHM),
    Slip.SHA384: ("It was made with SHA-384.", _ALGORITHM),
    Slip.SHA512: ("It was made with SHA-512.", _ALGORITHM),
    Slip.NO_KEY: ("It is a plain SHA-256 of the body, without the secret.", f"{_ALGORITHM} The secret is the key."),
    Slip.KEY_BESIDE_BODY: (
        "It is a plain SHA-256 of secret and body together.",
        f"{_ALGORITHM} That is another thing.",
    ),
    Slip.SWAPPED: (
        "Secret and body have changed places.",
        "The secret is the key and the body the message: look at the order of the arguments.",
    ),
    Slip.DIGEST_SIGNED: (
        "It was made over the SHA-256 of the body.",
        "Hand the body itself to HMAC, which takes the SHA-256 by itself.",
    ),
}

_CHANGES: Mapping[Change, str] = {
    Change.BYTE_ORDER_MARK: "a byte order mark before it",
    Change.LINE_BREAK_AT_END: "a line break at its end",
    Change.LINE_ENDS: "its line ends, CR LF or LF",
    Change.CHARACTER_SET: "its characters: UTF-8 that was read as Latin-1",
    Change.QUOTED: "the quotes around all of it: it stands in a string",
    Change.SPACES: "blanks and line breaks between its members",
    Change.ESCAPES: r"characters that are written as escapes, like \u00e9 and \/",
    Change.NUMBERS: "how numbers are written, like 1.0 and 1",
    Change.KEY_ORDER: "the order of its members",
}
_BY_A_PARSER = frozenset({Change.QUOTED, Change.SPACES, Change.ESCAPES, Change.NUMBERS, Change.KEY_ORDER})

_WRITTEN_AGAIN = (
    "Your framework parsed the JSON and wrote it again: sign the raw bytes, before anything parses them. "
    "They are request.get_data() in Flask, request.body in Django, express.raw() in Express."
)
_ON_ITS_WAY = "Read the request as bytes, and hand exactly these to the verification: not a text, a line or a file."


def told(difference: Difference) -> tuple[str, str]:
    """How a body differs from the right one, and what to do about it."""
    if Change.CONTENT in difference.changes:
        place = f"first at {difference.where}" if difference.where else "and one of them is no whole JSON"
        return f"It says something else, {place}.", "Something changed it on its way, or it is of another delivery."
    named = "; ".join(_CHANGES[change] for change in difference.changes)
    mend = _WRITTEN_AGAIN if _BY_A_PARSER.intersection(difference.changes) else _ON_ITS_WAY
    return f"It says the same in other bytes. What differs: {named}.", mend
