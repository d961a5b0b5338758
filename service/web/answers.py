"""Answers: JSON, problems (RFC 9457) and pages with cursors."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import orjson
from pydantic import ValidationError
from starlette.responses import Response

from service.domain import ids
from service.domain.errors import BadOrder, CallerError, Conflict, Fault, KeyMissing, KeyReused, NotFound, Unavailable
from service.domain.instant import parse
from service.web.shapes import AT

TYPES = "https://callsheet.dev/problems/"
KEY_BACK_S = 60
"""An operator has to put a key back and start the service again."""
_STATUS: dict[type[CallerError], int] = {BadOrder: 422, NotFound: 404, Conflict: 409, KeyReused: 422}


def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def problem(
    status: int, kind: str, detail: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> Response:
    body = {
        "type": TYPES + kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [{"field": f.field, "message": f.message} for f in faults],
    }
    return Response(orjson.dumps(body), status, headers, "application/problem+json")


def of_error(error: Exception) -> Response | None:
    """What a caller is told about an error of his, or of ours. None: a bug."""
    match error:
        case CallerError():
            return problem(_STATUS.get(type(error), 400), error.kind, error.message, error.faults)
        case KeyMissing():
            return problem(503, "key-missing", str(error), error.faults, {"Retry-After": str(KEY_BACK_S)})
        case Unavailable():
            return problem(503, "unavailable", str(error), headers={"Retry-After": str(error.retry_after_s)})
        case ValidationError():
            return problem(422, "invalid", "the request cannot be understood as it stands", _faults(error))
        case _:
            return None


FAULTS_LIMIT = 50
"""Of one request: whoever has more of them is not helped by a longer list."""


def _faults(error: ValidationError) -> list[Fault]:
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [
        Fault(
            _path((*e["loc"], e["type"].removeprefix(AT)) if e["type"].startswith(AT) else e["loc"]),
            _message(e["type"], e["msg"]),
        )
        for e in errors[:FAULTS_LIMIT]
    ]
    more = len(errors) - len(faults)
    return [*faults, Fault("body", f"and {more:,} faults more")] if more else faults


def _path(loc: Sequence[int | str]) -> str:
    """`content[1].role`; whole-body faults are of the body."""
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "body"


def _message(kind: str, message: str) -> str:
    return "is not a known field" if kind == "extra_forbidden" else message.removeprefix("Value error, ")


def page(
    rows: Sequence[Any],
    limit: int,
    path: str,
    show: Callable[[Any], Any],
    cursor_of: Callable[[Any], str],
    query: Sequence[tuple[str, str]],
) -> Response:
    """`rows` may hold one more than asked for: then there is a next page."""
    shown, more = rows[:limit], len(rows) > limit
    cursor = cursor_of(shown[-1]) if more else None
    headers = {}
    if cursor is not None:
        kept = [(k, v) for k, v in query if k != "cursor"]
        headers["Link"] = f'<{path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'
    return json({"object": "list", "data": [show(row) for row in shown], "next": cursor}, headers=headers)


CURSOR = "cur"


def cursor(value: int) -> str:
    return ids.encode(CURSOR, value)


def from_cursor(text: str | None) -> int | None:
    if text is None:
        return None
    value = ids.decode(CURSOR, text)
    if value is None:
        raise BadOrder("the cursor is not one of ours", [Fault("cursor", "pass `next` of the page before as it is")])
    return value


def id_of(prefix: str, text: str, what: str) -> int:
    value = ids.decode(prefix, text)
    if value is None:
        raise NotFound(f"there is no such {what}")
    return value


def instant(field: str, text: str | None) -> int | None:
    if text is None:
        return None
    at = parse(text.replace(" ", "+"))
    if at is None:
        raise BadOrder("the filter cannot be understood", [Fault(field, "has to be an instant like 2026-11-20T22:33:00Z")])
    return at
