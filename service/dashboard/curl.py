"""A request as a line for a terminal."""

import shlex

from service.api.attempts import SentRequest


def command(request: SentRequest) -> str:
    r"""The request once more, byte for byte, signature included.

    >>> print(command(SentRequest(url="https://example.com/", headers={"X-A": "it's"}, body="{}")))
    curl -X POST https://example.com/ \
      -H 'X-A: it'"'"'s' \
      --data-raw '{}'
    """
    headers = [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in request.headers.items()]
    lines = [f"curl -X POST {shlex.quote(request.url)}", *headers, f"--data-raw {shlex.quote(request.body)}"]
    return " \\\n  ".join(lines)
