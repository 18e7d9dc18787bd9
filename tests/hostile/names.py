"""C. Name servers that lie, change their mind, go in circles, or say nothing."""

from collections.abc import Mapping, Sequence

from tests.hostile.cases import Row
from tests.hostile.name_server import BROKEN, GARBAGE, NO_SUCH_NAME, REFUSED, SILENCE, Records

#: What is said about each name: each lookup takes the next answer, the last one stays. "hook.example" is asked for.
Answers = Mapping[str, Sequence[Records]]

#: Where deliveries may go in these cases, in the place of a public address; 127.0.0.2 and ::1 are forbidden.
PUBLIC = "127.0.0.1"
INNER = "127.0.0.2"

_MANY = [f"11.{n >> 8}.{n & 255}.1" for n in range(500)]
_LOOP = {"hook.example": [["-> other.example"]], "other.example": [["-> hook.example"]]}
_CHAIN = {f"hop{n}.example": [[f"-> hop{n + 1}.example"]] for n in range(7)}

#: The first lookup, all that there is for one attempt.
AT_ONCE: list[Row[Answers]] = [
    Row(
        "C1",
        "a name of an inner address",
        "blocked_address",
        {
            "IPv4": {"hook.example": [[INNER]]},
            "IPv6": {"hook.example": [["::1"]]},
            "IPv4 mapped into IPv6": {"hook.example": [["::ffff:127.0.0.2"]]},
            "a metadata service": {"hook.example": [["169.254.169.254"]]},
        },
        "has a forbidden address",
    ),
    Row(
        "C3",
        "inner and public addresses in one answer",
        "blocked_address",
        {
            "the public one first": {"hook.example": [[PUBLIC, INNER]]},
            "the inner one first": {"hook.example": [[INNER, PUBLIC]]},
            "of both kinds": {"hook.example": [[PUBLIC, "::1"]]},
            "metadata beside it": {"hook.example": [[PUBLIC, "169.254.169.254"]]},
            "the last of 500": {"hook.example": [[*_MANY, INNER]]},
            "behind 20 others": {"hook.example": [[*_MANY[:20], "10.0.0.1"]]},
        },
        "has a forbidden address",
        "any bad answer poisons the name",
    ),
    Row(
        "C5",
        "an alias of an inner name",
        "blocked_address",
        {
            "at once": {"hook.example": [["-> db.internal"]], "db.internal": [["10.1.2.3"]]},
            "after a chain of seven": {"hook.example": [["-> hop0.example"]], **_CHAIN, "hop7.example": [[INNER]]},
            "public and inner at its end": {"hook.example": [["-> db.internal"]], "db.internal": [[PUBLIC, INNER]]},
            "of this machine": {"hook.example": [["-> localhost.example"]], "localhost.example": [["::1"]]},
        },
        "has a forbidden address",
    ),
    Row(
        "C5x",
        "aliases in a circle",
        "dns_error",
        {
            "of two": _LOOP,
            "of itself": {"hook.example": [["-> hook.example"]]},
            "to nowhere": {"hook.example": [["-> gone.example"]]},
        },
        "The host name has no address",
    ),
    Row(
        "C7",
        "no answer that helps",
        "dns_error",
        {
            "no such name": {"hook.example": [NO_SUCH_NAME]},
            "a fault of the server": {"hook.example": [BROKEN]},
            "refused": {"hook.example": [REFUSED]},
            "no address": {"hook.example": [[]]},
        },
        "The host name has no address",
    ),
    Row(
        "C8",
        "no answer at all",
        "timeout",
        {
            "silence": {"hook.example": [SILENCE]},
            "garbage": {"hook.example": [GARBAGE]},
        },
        "ran out while looking up the name",
        "an attempt ends in its own time, however long the name server takes",
    ),
    Row(
        "C9",
        "an address of a kind that there is no way to",
        "connect_error",
        {
            "IPv6 only": {"hook.example": [["2606:4700::1"]]},
            "500 addresses": {"hook.example": [_MANY]},
            "500 addresses of IPv6": {"hook.example": [[f"2606:4700::{n:x}" for n in range(1, 501)]]},
        },
        "cannot be reached",
    ),
]

#: From one lookup to the next.
CHANGING: list[Row[Answers]] = [
    Row(
        "C2",
        "changes its mind",
        "blocked_address",
        {
            "public, then inner": {"hook.example": [[PUBLIC], [INNER]]},
            "public, then both": {"hook.example": [[PUBLIC], [PUBLIC, INNER]]},
            "public, then IPv6 loopback": {"hook.example": [[PUBLIC], ["::1"]]},
            "public, then an alias of an inner name": {
                "hook.example": [[PUBLIC], ["-> in.example"]],
                "in.example": [[INNER]],
            },
        },
        "has a forbidden address",
        "what was judged is what is dialled: there is no lookup in between",
    ),
]

HONEST: list[Row[Answers]] = [
    Row(
        "C4",
        "an ordinary name",
        "delivered",
        {
            "one address": {"hook.example": [[PUBLIC]]},
            "an alias": {"hook.example": [["-> app.example"]], "app.example": [[PUBLIC]]},
            "a chain of seven": {"hook.example": [["-> hop0.example"]], **_CHAIN, "hop7.example": [[PUBLIC]]},
            "the same address 20 times": {"hook.example": [[PUBLIC] * 20]},
        },
    ),
]
