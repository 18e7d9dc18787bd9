"""The description of the API for people: one page, made from the OpenAPI document; it looks like the dashboard."""

import json
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from http import HTTPStatus
from typing import Any

from service.api.curl import command
from service.snippets import SNIPPETS

#: What the lines on the page take from the environment.
_ENVIRONMENT = """\
export HOOKLINE_URL=http://127.0.0.1:8080
export HOOKLINE_API_KEY=tmk_...  # an API key of yours
export TOKEN=...                 # what logging in answers; only API keys are managed with it
"""

_VERIFYING = """\
Two signatures come with every delivery; check one of them, over the body as it came, before anything parses it. \
`X-Tagmatic-Signature` is `sha256=` and the hex HMAC-SHA256 of the body, with your secret as text for a key. \
`webhook-id`, `webhook-timestamp` and `webhook-signature` follow Standard Webhooks, with the \
`standard_webhooks_secret` that the registration answered with: a request from more than five minutes ago is refused, \
and while a secret is being rotated there are two signatures, separated by a space. Each file does both, in constant \
time, with nothing but the language's own library."""


def page(document: Mapping[str, Any]) -> str:
    """Write the page."""
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    tags = list(dict.fromkeys(operation["tags"][0] for _, _, operation in operations))
    info, schemas = document["info"], document["components"]["schemas"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])} API</title>",
        '<link rel="icon" href="/static/logo.svg"><link rel="stylesheet" href="/static/hookline.css"></head>',
        '<body class="api"><main>',
        f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>",
        *(f"<p>{_prose(paragraph)}</p>" for paragraph in info["description"].split("\n\n")),
        '<p>For programs: <a href="/api/openapi.json">openapi.json</a></p><nav aria-label="Parts">',
        *(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in (*tags, "verify", "schemas")),
        "</nav>",
        f"<p>Every operation has an example to copy. The lines take from the environment:</p>{_code(_ENVIRONMENT)}",
    ]
    for tag in tags:
        parts.append(f'<section id="{escape(tag)}"><h2>{escape(tag)}</h2>')
        parts += [_operation(*operation) for operation in operations if operation[2]["tags"][0] == tag]
        parts.append("</section>")
    parts.append(f'<section id="verify"><h2>Verify a signature</h2><p>{_prose(_VERIFYING)}</p>')
    parts += [_details(f"{one.language}: <code>{one.file}</code>", _code(one.text)) for one in SNIPPETS]
    parts.append('</section><section id="schemas"><h2>schemas</h2>')
    parts += [_schema(name, schema) for name, schema in sorted(schemas.items())]
    parts.append("</section></main></body></html>")
    return "".join(parts)


def _prose(text: str) -> str:
    """Escape a paragraph, with what stands between backticks as code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces))


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = "".join(_parameter(parameter) for parameter in operation["parameters"])
    table = f"<table><tr><th>parameter<th>in<th>type<th></tr>{rows}</table>" if rows else ""
    body = operation.get("requestBody", {}).get("content", {})
    bodies = "".join(f"<p>Body: {_link(content)}</p>" for content in body.values())
    return (
        f'<article id="{escape(operation["operationId"])}"><h3><b>{method}</b> <code>{escape(path)}</code></h3>'
        f"<p>{escape(operation['summary'])}. {_access(operation['security'])}</p>{table}{bodies}"
        f'<pre class="line">{escape(command(method, path, operation))}</pre>'
        f"{''.join(_answers(operation['responses']))}</article>"
    )


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = parameter["schema"]
    return (
        f"<tr><td><code>{escape(parameter['name'])}</code><td>{parameter['in']}"
        f"<td>{escape(_type(schema))}<td>{escape(schema.get('description', ''))}</tr>"
    )


def _type(schema: Mapping[str, Any]) -> str:
    """Say a schema's type in a word or two.

    >>> _type({"anyOf": [{"type": "integer"}, {"type": "null"}]})
    'integer'
    """
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"] if choice.get("type") != "null")
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    return str(schema.get("format") or schema.get("type", "any"))


def _access(security: Iterable[Mapping[str, Any]]) -> str:
    ways = [next(iter(way)) for way in security]
    if not ways:
        return "Open to anyone."
    return "Needs a key or a session token." if "apiKey" in ways else "Needs a session token."


def _answers(responses: Mapping[str, Any]) -> Iterator[str]:
    for status, response in responses.items():
        if int(status) < HTTPStatus.BAD_REQUEST:
            content = response.get("content", {})
            shown = ", ".join(f"{escape(media)} {_link(schema)}" for media, schema in content.items())
            yield f"<p>Answer: {status} {shown}</p>"
            for media, described in content.items():
                yield from (_example(media, example) for example in described.get("examples", {}).values())


def _example(media: str, example: Mapping[str, Any]) -> str:
    return _details(escape(example["summary"]), _code(_written(media, example["value"])))


def _written(media: str, value: Any) -> str:
    """Write an answer as it comes, but for the blanks in JSON."""
    if media == "text/event-stream":
        return f"data: {json.dumps(value, ensure_ascii=False)}"
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _details(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>{content}</details>"


def _code(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _link(content: Mapping[str, Any]) -> str:
    name = content["schema"].get("$ref", "").rpartition("/")[2]
    return f'<a href="#schema-{escape(name)}">{escape(name)}</a>' if name else ""


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    text = _code(json.dumps(schema, indent=2, ensure_ascii=False))
    summary = f"<summary><code>{escape(name)}</code></summary>"
    return f'<details id="schema-{escape(name)}">{summary}{text}</details>'
