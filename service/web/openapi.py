"""The OpenAPI 3.1 document, made from the endpoints and the models that check the requests."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import __version__
from service.domain.matching import EVENTS
from service.web.endpoints import Endpoint
from service.web.replies import NoticeOut, Problem
from service.web.shapes import NoQuery, Nothing

_REF = "#/components/schemas/{model}"
_PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_FAILURES = {
    "400": "Not understood",
    "401": "No such key",
    "403": "Not allowed for this key",
    "404": "No such thing",
    "422": "Not valid",
}
_MORE = {"409": "Not as things stand", "503": "Come again"}
_OF_BODIES = {"408": "The body did not arrive in time", "413": "Too large"}


def document(endpoints: Sequence[Endpoint], public_url: str) -> dict[str, Any]:
    models: set[type[BaseModel]] = {Problem, NoticeOut, Nothing}
    for e in endpoints:
        models |= {m for m in (e.body, e.answer, *(also for _, also, _ in e.also)) if m is not None}
    refs, schema = models_json_schema([(m, "validation") for m in sorted(models, key=lambda m: m.__name__)], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for e in endpoints:
        paths.setdefault(e.path, {})[e.method.lower()] = _operation(e, refs)
    notice = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/NoticeOut"}}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Callsheet", "version": __version__, "description": "Event service for Seedance video tasks."},
        "servers": [{"url": public_url}],
        "security": [{"key": []}],
        "paths": paths,
        "webhooks": {
            event: {
                "post": {"summary": f"Notice of {event}", "requestBody": notice, "responses": {"2XX": {"description": "Taken"}}}
            }
            for event in EVENTS
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": schema.get("$defs", {}),
        },
    }


def _operation(e: Endpoint, refs: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": e.summary,
        "operationId": re.sub(r"\W+", "_", f"{e.method.lower()}{e.path}").strip("_"),
        "description": " ".join(filter(None, (f"Needs the scope `{e.scope}`.", e.about))),
        "parameters": [*_path_parameters(e), *_query_parameters(e), *_header_parameters(e)],
        "responses": _good(e, refs) | {code: {"description": what, **_PROBLEM} for code, what in _bad(e).items()},
    }
    if e.body is not None:
        schema = refs[e.body, "validation"]
        operation["requestBody"] = {"required": e.body is not Nothing, "content": {"application/json": {"schema": schema}}}
    return operation


def _good(e: Endpoint, refs: Any) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, shape, what in ((e.status, e.answer, "Done"), *e.also):
        content = {} if shape is None else {"application/json": {"schema": refs[shape, "validation"]}}
        if status == e.status and e.streams is not None:
            content["text/event-stream"] = {"schema": {"type": "string", "description": e.streams}}
        answers[str(status)] = {"description": what} | ({"content": content} if content else {})
    return answers


def _bad(e: Endpoint) -> dict[str, str]:
    return _FAILURES | _MORE | (_OF_BODIES if e.body is not None else {})


def _path_parameters(e: Endpoint) -> list[dict[str, Any]]:
    return [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in re.findall(r"{(\w+)}", e.path)]


def _query_parameters(e: Endpoint) -> list[dict[str, Any]]:
    if e.query is NoQuery:
        return []
    properties = e.query.model_json_schema().get("properties", {})
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()]


def _header_parameters(e: Endpoint) -> list[dict[str, Any]]:
    return [{"name": n, "in": "header", "description": about, "schema": {"type": "string"}} for n, about in e.headers]


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Callsheet API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem}}code{{background:#8881;padding:.1em .3em}}
td{{padding:.25rem 1rem .25rem 0;vertical-align:top}}th{{text-align:left}}</style>
<h1>Callsheet API</h1><p>JSON over HTTP with <code>Authorization: Bearer &lt;key&gt;</code>.
The whole contract: <a href="/openapi.json">openapi.json</a>.</p>
<table><tr><th>Call<th>What it does<th>Scope</tr>{rows}</table>
<h2>Webhooks</h2><p>Signed as Standard Webhooks 1.0: {events}.</p></html>"""


def page(endpoints: Sequence[Endpoint]) -> str:
    rows = "".join(f"<tr><td><code>{e.method} {e.path}</code><td>{e.summary}<td>{e.scope}</tr>" for e in endpoints)
    return PAGE.format(rows=rows, events=", ".join(f"<code>{event}</code>" for event in EVENTS))
