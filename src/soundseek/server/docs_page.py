"""The OpenAPI description as a page to read: no script, nothing from elsewhere, so that it works offline."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from soundseek.server.problems import KINDS

Described = Mapping[str, Any]

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --link: #0757a8 }
@media (prefers-color-scheme: dark) { :root { --link: #8ec7ff } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem 1.5rem 6rem }
a { color: var(--link) }
h1, h2, h3 { line-height: 1.2 } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line) }
section.route { border: 1px solid var(--line); border-radius: .5rem; margin: 1rem 0; padding: .5rem 1rem }
code, pre { font: 14px/1.45 ui-monospace, monospace } pre { background: var(--soft); overflow: auto; padding: .75rem }
.method { display: inline-block; font-weight: 700; min-width: 4.5rem }
.table { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem .3rem 0; text-align: left; vertical-align: top }
nav ul { columns: 20rem; padding-left: 1rem } .required { font-weight: 700 }
"""


def docs_page(described: Described) -> str:
    """The page; its style element carries the placeholder `{{nonce}}`."""
    routes = [
        (path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = described["components"]["schemas"]
    parts = []
    for tag in described.get("tags", []):
        own = [route for route in routes if tag["name"] in route[2].get("tags", [])]
        if own:
            parts.append(f'<h2 id="{tag["name"]}">{escape(tag["name"].capitalize())}</h2>')
            parts.append(f"<p>{escape(tag['description'])}</p>")
            parts += [_route(path, method, operation, schemas) for path, method, operation in own]
    shapes = [_schema(name, schema) for name, schema in sorted(schemas.items())]
    links = "".join(
        f'<li><a href="#{_anchor(method, path)}"><code>{method.upper()} {escape(path)}</code></a></li>'
        for path, method, _ in routes
    )
    kinds = [
        f"<tr><td>{status}<td><code>/problems/{escape(kind)}</code><td>{escape(title)}</tr>"
        for kind, (status, title) in KINDS.items()
    ]
    info = described["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>soundseek API {escape(info["version"])}</title><style nonce="{{{{nonce}}}}">{_STYLE}</style></head>'
        f"<body><main><h1>soundseek API {escape(info['version'])}</h1>{_prose(info['description'])}"
        '<p><a href="openapi.json">openapi.json</a></p>'
        f'<nav aria-label="Routes"><ul>{links}</ul></nav>{"".join(parts)}'
        '<h2 id="problems">Problems</h2><p>What <code>type</code> of an error can be.</p>'
        f"{_table(('Status', 'Type', 'Title'), kinds)}"
        f'<h2 id="shapes">Requests and answers</h2>{"".join(shapes)}</main></body></html>'
    )


def _anchor(method: str, path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{method}{path}".lower()).strip("-")


def example_body(schema: Described) -> Any:
    """A request to begin with: the schema's own example, or that of each of its fields that has one."""
    if schema.get("examples"):
        return schema["examples"][0]
    fields = schema.get("properties", {})
    return {name: told["examples"][0] for name, told in fields.items() if told.get("examples")}


def _curl(path: str, method: str, operation: Described, schemas: Described) -> str:
    """The route as a command to copy."""
    asked = []
    for each in operation.get("parameters", []):
        examples = each.get("examples") or each["schema"].get("examples")
        value = str(examples[0]) if examples else each["name"].upper()
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", value)
        elif each.get("required") or examples:
            asked.append(f"{each['name']}={quote(value)}")
    address = "http://127.0.0.1:8765" + "?".join([path, "&".join(asked)] if asked else [path])
    command = ["curl", "-s"]
    kinds = [kind for told in operation["responses"].values() for kind in told.get("content", {})]
    if "text/event-stream" in kinds:
        command.append("-N")
    for kind, told in operation.get("requestBody", {}).get("content", {}).items():
        if "$ref" in told["schema"]:
            example = example_body(schemas[told["schema"]["$ref"].rsplit("/", 1)[-1]])
            command += [f"-H 'Content-Type: {kind}'", f"-d '{json.dumps(example)}'"]
        else:
            command.append("--data-binary @creek.wav")
    if method not in ("get", "post") or (method == "post" and len(command) == 2):
        command.append(f"-X {method.upper()}")
    return " ".join([*command, f"'{address}'"])


def _route(path: str, method: str, operation: Described, schemas: Described) -> str:
    rows = [
        _row(
            each["name"], each["in"], each["schema"], each.get("description", ""), each.get("required", False)
        )
        for each in operation.get("parameters", [])
    ]
    parameters = _table(("Parameter", "In", "Type", "Meaning"), rows) if rows else ""
    body = operation.get("requestBody", {}).get("content", {})
    asks = "".join(
        f"<p>Body: {_type(told['schema'])} (<code>{escape(kind)}</code>)</p>" for kind, told in body.items()
    )
    answers = []
    for status, told in operation["responses"].items():
        kinds = [f"{_type(each.get('schema', {}))}" for each in told.get("content", {}).values()]
        answers.append(f"<tr><td>{status}<td>{escape(told['description'])}<td>{', '.join(kinds)}</tr>")
    return (
        f'<section class="route" id="{_anchor(method, path)}"><h3><span class="method">{method.upper()}</span> '
        f"<code>{escape(path)}</code></h3>{_prose(operation.get('description', ''))}{parameters}{asks}"
        f"<pre>{escape(_curl(path, method, operation, schemas))}</pre>"
        f"<details><summary>Answers</summary>{_table(('Status', 'Meaning', 'Shape'), answers)}</details></section>"
    )


def _schema(name: str, schema: Described) -> str:
    required = schema.get("required", [])
    rows = [
        _row(field, None, told, told.get("description", ""), field in required)
        for field, told in schema.get("properties", {}).items()
    ]
    examples = "".join(
        f"<pre>{escape(json.dumps(each, indent=2))}</pre>" for each in schema.get("examples", [])
    )
    return (
        f'<section class="route" id="shape-{escape(name)}"><h3>{escape(name)}</h3>'
        f"{_prose(schema.get('description', ''))}{_table(('Field', 'Type', 'Meaning'), rows)}{examples}</section>"
    )


def _row(name: str, place: str | None, schema: Described, meaning: str, required: bool) -> str:
    where = "" if place is None else f"<td>{escape(place)}"
    default = schema.get("default")
    left_out = (
        f" Default: <code>{escape(json.dumps(default))}</code>." if default not in (None, [], "") else ""
    )
    kind = "required" if required else "optional"
    cells = f"<td><code class={kind}>{escape(name)}</code>{where}<td>{_type(schema)}"
    return f"<tr>{cells}<td>{_inline(meaning)}{left_out}</tr>"


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f"<th scope=col>{each}" for each in heads)
    return (
        f"<div class=table><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _type(schema: Described) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f'<a href="#shape-{escape(name)}">{escape(name)}</a>'
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            kinds = [_type(each) for each in schema[several] if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds)) + (
                " or null" if len(kinds) < len(schema[several]) else ""
            )
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [
        f"{sign} {schema[key]:g}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if key in schema
    ]
    return escape(" ".join([str(schema.get("type", "anything")), *bounds]))


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(part)}</p>" for part in text.strip().split("\n\n") if part.strip())


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
