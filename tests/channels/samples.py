"""Notices as the service stores them, for the tests of all channels."""

from typing import Any

import httpx
import orjson
from hypothesis import strategies as st

from service.channels.base import Notice, Target
from service.signing import new_secret
from service.wire import Reply

NOW = 1_795_214_000_123
AT = NOW - 1_000
STATES = ("queued", "running", "succeeded", "failed", "cancelled", "expired", "lost")
TARGET = Target("https://example.com/hook", (new_secret(),))


def task(**changes: Any) -> dict[str, Any]:
    return {
        "id": "task_0d3kx9v2m4q7r",
        "object": "task",
        "state": "succeeded",
        "reason": None,
        "sequence": 3,
        "model": "seedance-1-0-pro-250528",
        "provider": "apiyi",
        "remote_id": "cgt-2026-abc",
        "order": {"model": "seedance-1-0-pro-250528", "prompt": "A cat walks over a piano", "duration": 6},
        "metadata": {},
        "result": {"video_url": "https://cdn.example.com/v.mp4?sig=abc", "resolution": "1080p", "ratio": "16:9", "duration": 6},
        "usage": {"completion_tokens": 295800, "estimated_tokens": 295800},
        "error": None,
        "created_at": "2026-11-20T22:31:00.000Z",
        "updated_at": "2026-11-20T22:33:00.000Z",
        "ended_at": "2026-11-20T22:33:00.000Z",
        "url": "https://callsheet.example.com/v1/tasks/task_0d3kx9v2m4q7r",
    } | changes


def notice(subject: dict[str, Any] | None = None, kind: str | None = None) -> Notice:
    subject = subject or task()
    kind = kind or f"task.{subject['state']}"
    data = {"sequence": subject["sequence"], "previous_state": "running", "task": subject}
    body = {"type": kind, "timestamp": "2026-11-20T22:33:00.000Z", "data": data}
    return Notice("msg_0d3kx9v2m4q7s", kind, AT, orjson.dumps(body))


def operational(kind: str = "subscription.disabled", **data: Any) -> Notice:
    body = {"type": kind, "timestamp": "2026-11-20T22:33:00.000Z", "data": data}
    return Notice("msg_0d3kx9v2m4q7t", kind, AT, orjson.dumps(body))


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def said(request: httpx.Request) -> Any:
    return orjson.loads(request.content)


_NASTY = st.sampled_from(
    [
        "<!channel>",
        "<!here|here>",
        "<@U024BE7LH>",
        "<#C024BE7LR|general>",
        "@everyone",
        "@channel",
        "<https://evil.example|click>",
        "[click](https://evil.example)",
        "&<>" * 200,
        "&" * 5_000,
        "*_~`|>#-[]()\\" * 60,
        "\u202etfel ot thgir",
        "\u0000\u0007\u001b[31m",
        "🎬" * 400,
        "漢字" * 400,
        "\n" * 50,
        "",
        " ",
    ]
)
TEXTS = _NASTY | st.text(max_size=30)
_VALUES: st.SearchStrategy[Any] = st.one_of(
    TEXTS, st.none(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False), st.just({})
)
_LINKS = st.one_of(
    st.just("https://cdn.example.com/v.mp4"),
    st.just("https://cdn.example.com/" + "(" * 1_900),
    st.just("javascript:alert(1)"),
    TEXTS,
    st.none(),
)


def worst(letter: str) -> Notice:
    """As long as a task can be, all of one letter."""
    text, url = letter * 5_000, "https://cdn.example.com/" + "(" * 1_970
    error = {"message": text, "category": text, "suggestion": text}
    result = {"video_url": url, "resolution": text, "ratio": text, "duration": 6}
    order = {"prompt": text}
    return notice(task(model=text, provider=text, order=order, result=result, error=error, id=text, url=url))


_RESULTS = st.fixed_dictionaries({"video_url": _LINKS, "resolution": _VALUES, "duration": _VALUES})
_CHANGES = st.fixed_dictionaries(
    {
        "state": st.sampled_from(STATES),
        "reason": _VALUES,
        "model": _VALUES,
        "order": st.fixed_dictionaries(
            {"prompt": TEXTS, "content": st.just([{"type": "text", "text": "<!here>"}, 1]) | _VALUES}
        ),
        "result": _RESULTS | _VALUES,
        "usage": st.none() | st.fixed_dictionaries({"completion_tokens": _VALUES}),
        "error": st.none() | st.fixed_dictionaries({"message": TEXTS, "category": _VALUES, "suggestion": TEXTS}),
        "url": _LINKS,
        "created_at": st.just("2026-11-20T22:31:00.000Z") | TEXTS,
        "id": TEXTS,
    }
)
HOSTILE = st.one_of(
    _CHANGES.map(lambda changes: notice(task(**changes))),
    _CHANGES.map(lambda changes: operational("callback.conflict", task=task(**changes), reason=changes["reason"])),
)
"""Tasks whose every word is somebody's attempt."""
