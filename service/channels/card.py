"""What a person wants to know about one notice, in words; each chat channel gives it its own form.

Everything that came from outside (prompts, messages, names) is one tidy, bounded line here. Escaping is the channel's:
each service has its own marks for mentions and links.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from service.channels.base import Notice
from service.domain.instant import parse

ASKED_LIMIT = 300
"""Characters of a prompt: enough to know which order it was."""
MESSAGE_LIMIT = 300
SUGGESTION_LIMIT = 200
FACT_LIMIT = 100
FACT_COUNT = 8
LINK_LIMIT = 2_000
"""Characters; Slack refuses a button over 3,000 and with it the whole message. A signed video URL has under 1,000."""

WORDS: Mapping[str, tuple[str, str]] = {
    "task.queued": ("🕓", "Video queued"),
    "task.running": ("🎬", "Video is being made"),
    "task.succeeded": ("✅", "Video ready"),
    "task.failed": ("❌", "Video failed"),
    "task.cancelled": ("🚫", "Video cancelled"),
    "task.expired": ("⌛", "Video expired"),
    "task.lost": ("❓", "Video lost sight of"),
    "test": ("👋", "Test notice: this target works"),
}


@dataclass(frozen=True, slots=True)
class Card:
    mark: str
    title: str
    word: str
    """For counting in a digest: succeeded, failed, subscription disabled, …"""
    asked: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    trouble: str = ""
    """What went wrong."""
    advice: str = ""
    """What to do about it."""
    video_url: str | None = None
    task_url: str | None = None
    name: str = ""
    """What to search for: the task's id."""


def card(notice: Notice) -> Card:
    kind = tidy(notice.type, FACT_LIMIT)
    plain = kind.removeprefix("task.").replace(".", " ").replace("_", " ")
    mark, title = WORDS.get(notice.type, ("⚠️", plain.capitalize()))
    try:
        body = orjson.loads(notice.body)
    except orjson.JSONDecodeError:
        body = None
    match body:
        case {"data": {"task": dict(task)}} if notice.type in WORDS:
            return _of_task(mark, title, plain, task, notice.at)
        case {"data": dict(data)}:
            about = _dict(data.get("task"))
            return Card(
                mark,
                title,
                plain,
                facts=_kept([(tidy(key.replace("_", " "), FACT_LIMIT).capitalize(), _text(data[key])) for key in data]),
                task_url=link(data.get("url") or about.get("url")),
                name=_text(about.get("id")),
            )
        case _:
            return Card(mark, title, plain)


def headline(cards: Sequence[Card]) -> str:
    counts = Counter(c.word for c in cards)
    return f"{len(cards)} notices: " + ", ".join(f"{count} {word}" for word, count in counts.most_common())


def tidy(text: str, limit: int) -> str:
    """One line without control characters and without the invisible ones that reorder or hide text."""
    shown = text[: 4 * limit]
    if not shown.isprintable():
        # Emoji are joined by U+200D, which is invisible and harmless.
        shown = "".join(
            " " if ch.isspace() else ch
            for ch in shown
            if ch.isspace() or ch == "\u200d" or unicodedata.category(ch) not in ("Cc", "Cf", "Cs")
        )
    line = " ".join(shown.split()).strip("\u200d")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def link(value: object) -> str | None:
    """An address that is safe behind a button; None: there is no button."""
    if not isinstance(value, str) or len(value) > LINK_LIMIT or not value.isascii() or not value.isprintable():
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    usable = parts.scheme in ("https", "http") and parts.hostname and not set(value) & set(' "<>\\^`{|}')
    return value if usable else None


def _of_task(mark: str, title: str, word: str, task: Mapping[str, Any], at: int) -> Card:
    result, order = _dict(task.get("result")), _dict(task.get("order"))
    trouble = advice = ""
    match task:
        case {"error": {"message": message, "category": category, "suggestion": suggestion}}:
            trouble = tidy(f"{_text(category).replace('_', ' ')}: {_text(message, MESSAGE_LIMIT)}", MESSAGE_LIMIT)
            advice = _text(suggestion, SUGGESTION_LIMIT)
        case {"reason": str(reason)}:
            trouble = tidy(reason, MESSAGE_LIMIT)
    facts = (
        ("Model", _text(task.get("model"))),
        ("Provider", _text(task.get("provider"))),
        ("Size", _size(result, order)),
        ("Time", _time(task, at)),
        ("Tokens", _tokens(_dict(task.get("usage")))),
    )
    return Card(
        mark,
        title,
        word,
        asked=_asked(order),
        facts=_kept(facts),
        trouble=trouble,
        advice=advice,
        video_url=link(result.get("video_url")),
        task_url=link(task.get("url")),
        name=_text(task.get("id")),
    )


def _asked(order: Mapping[str, Any]) -> str:
    said = [order.get("prompt")]
    match order:
        case {"content": [*items]}:
            said += [item.get("text") for item in items if isinstance(item, dict) and item.get("type") == "text"]
    return tidy(" ".join(text[: 4 * ASKED_LIMIT] for text in said[:10] if isinstance(text, str)), ASKED_LIMIT)


def _size(result: Mapping[str, Any], order: Mapping[str, Any]) -> str:
    """What was made; until then, what was asked for."""
    resolution, ratio, seconds = (result.get(k) or order.get(k) for k in ("resolution", "ratio", "duration"))
    length = f"{seconds:g} s" if isinstance(seconds, int | float) and 0 < seconds < 86_400 else ""
    return " · ".join(part for part in (_text(resolution), _text(ratio), length) if part)


def _time(task: Mapping[str, Any], at: int) -> str:
    """How long it waited and ran, where the view says when it started; how long it all took otherwise."""
    created_at, started_at, ended_at = (_instant(task.get(k)) for k in ("created_at", "started_at", "ended_at"))
    match created_at, started_at, ended_at:
        case None, _, _:
            return ""
        case int(), int(), int():
            return f"waited {spell(started_at - created_at)}, ran {spell(ended_at - started_at)}"
        case int(), None, int():
            return f"took {spell(ended_at - created_at)}"
        case _:
            verb = "waited" if task.get("state") in ("queued", "running") else "open for"
            return f"{verb} {spell((started_at or at) - created_at)}"


def spell(duration_ms: int) -> str:
    minutes, seconds = divmod(max(0, duration_ms) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _tokens(usage: Mapping[str, Any]) -> str:
    match usage:
        case {"completion_tokens": int(count)}:
            return f"{count:,}"
        case {"estimated_tokens": int(count)}:
            return f"about {count:,}"
        case _:
            return ""


def _instant(value: object) -> int | None:
    return parse(value) if isinstance(value, str) else None


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object, limit: int = FACT_LIMIT) -> str:
    return tidy(str(value), limit) if isinstance(value, str | int | float) else ""


def _kept(facts: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((label, value) for label, value in facts if label and value)[:FACT_COUNT]
