"""Texts that mean something to a browser, a template, a database or a spreadsheet, and nothing to us."""

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    "a script": "<script>alert(1)</script>",
    "an image that runs": '"><img src=x onerror=alert(1)>',
    "the end of a script": "</script><svg onload=alert(1)>",
    "entities": "&lt;b&gt; &amp; &#0;",
    "braces": "{{7*7}} {% debug %} ${7*7} #{7*7} <%= 7*7 %>",
    "a format": "%s %n {0.__class__.__mro__}",
    "SQL": "' OR 1=1; DROP TABLE endpoints; --",
    "a pattern of SQL": "%_\\%",
    "a formula": "=cmd|' /C calc'!A0",
    "another formula": "@SUM(1+1)*cmd|' /C calc'!A0",
    "a lookup": "${jndi:ldap://127.0.0.1/x}",
    "a colour of the terminal": "\x1b[31mred\x1b[0m\x07",
    "from right to left": "\u202etxt.exe",
    "line separators": "a\u2028b\u2029c\r\nX-Evil: 1",
}
