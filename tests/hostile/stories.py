"""E, continued. What takes more than one answer to try; ``test_stories.py`` has a test for each row."""

from tests.hostile.cases import Row

#: The status, the header's value, and what the wait has to be, in seconds at least and at most.
Wish = tuple[int, str, float, float]
_DAY = 86_400
_SCHEDULE = (60, 66)

RETRY_AFTER: list[Row[Wish]] = [
    Row(
        "E24",
        "429 with a Retry-After of all kinds",
        "http_4xx",
        {
            "two minutes": (429, "120", 120, 132),
            "a date": (429, "Thu, 01 Jan 2026 12:10:00 GMT", 600, 660),
            "a date that is over": (429, "Thu, 01 Jan 1970 00:00:00 GMT", *_SCHEDULE),
            "negative": (429, "-5", *_SCHEDULE),
            "no number": (429, "soon", *_SCHEDULE),
            "a fraction": (429, "1.5e3", *_SCHEDULE),
            "nothing": (429, "", *_SCHEDULE),
            "zero": (429, "0", *_SCHEDULE),
            "less than the schedule": (429, "30", *_SCHEDULE),
            "20 digits": (429, "9" * 20, _DAY, _DAY),
            "a year": (429, "31536000", _DAY, _DAY),
            "the year 9999": (429, "Fri, 31 Dec 9999 23:59:59 GMT", _DAY, _DAY),
            "a date that there is not": (429, "Thu, 32 Jan 2026 25:61:00 GMT", *_SCHEDULE),
            "4 000 digits": (429, "1" * 4000, _DAY, _DAY),
        },
        why="it can only lengthen a wait, at most to a day",
    ),
    Row(
        "E25",
        "503 with a Retry-After",
        "http_5xx",
        {
            "two minutes": (503, "120", 120, 132),
            "a year": (503, "31536000", _DAY, _DAY),
            "no number": (503, "x", 60, 66),
        },
    ),
    Row("E25x", "a Retry-After where it means nothing", "http_5xx", {"500": (500, "7200", *_SCHEDULE)}),
]

REDIRECTS: list[Row[int]] = [
    Row("E2x", "redirects to this machine", "http_3xx", [301, 302, 303, 307, 308], why="never followed"),
]

STORIES: list[Row[str]] = [
    Row("E2", "hangs before it accepts", "timeout", {"a full backlog": "full"}, "while connecting"),
    Row("E2y", "nobody there", "connect_refused", {"a port where nothing listens": "closed"}, "refused the connection"),
    Row(
        "E27", "sets a cookie", "delivered", {"for every path": "cookie"}, why="cookies of one tenant are not another's"
    ),
    Row("E30", "answers half the time", "delivered", {"and resets the rest": "coin"}),
    Row("E31", "closes a kept connection as it is used again", "delivered", {"50 rounds": "close"}),
    Row(
        "E33",
        "calls our API while we call it",
        "delivered",
        {
            "deletes its own webhook": "delete",
            "rotates its own secret": "rotate",
            "asks for a retry of the very delivery": "retry",
            "publishes what it was sent": "echo",
            "publishes something new each time": "loop",
        },
    ),
]
