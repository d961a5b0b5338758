"""Answers as people read them. Pure: documents in, lines out.

What others wrote (prompts, labels, providers' messages) is shown without control characters: a terminal obeys those.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CELL = 60
"""Characters of one cell: a prompt or an address may be thousands long."""


WHOLE = 2_000
"""Where there is a line for each thing."""


def clean(value: Any, limit: int = WHOLE) -> str:
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cell(value: Any, limit: int = CELL) -> str:
    if value in (None, "", [], {}):
        return "-"
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return clean(", ".join(map(str, value)), limit)
        case dict():
            return clean(" ".join(f"{k}={cell(v)}" for k, v in value.items()), limit)
        case _:
            return clean(value, limit)


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]], empty: str = "Nothing here.", limit: int = CELL) -> list[str]:
    lines = [[cell(value, limit) for value in row] for row in rows]
    if not lines:
        return [empty]
    lines.insert(0, [title.upper() for title in titles])
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def pairs(values: Mapping[str, Any]) -> list[str]:
    """What is there, one thing a line."""
    shown = {name: value for name, value in values.items() if value not in (None, "", [], {})}
    width = max((len(name) for name in shown), default=0)
    return [f"{name.ljust(width)}  {cell(value, WHOLE)}" for name, value in shown.items()]


def more(page: Mapping[str, Any]) -> list[str]:
    return [] if page.get("next") is None else ["… and more: raise --limit."]


def task(t: Mapping[str, Any]) -> list[str]:
    result, error = t["result"] or {}, t["error"] or {}
    return pairs(
        {
            "task": t["id"],
            "state": t["state"],
            "why": t["reason"],
            "model": t["model"],
            "provider": t["provider"],
            "remote id": t["remote_id"],
            "prompt": clean(t["order"].get("prompt", ""), 200),
            "video": result.get("video_url"),
            "video until": result.get("video_expires_at"),
            "last frame": result.get("last_frame_url"),
            "tokens": t["usage"]["completion_tokens"],
            "estimated": t["usage"]["estimated_tokens"],
            "error": error and f"{error['code']}: {error['message']}",
            "advice": error.get("suggestion"),
            "metadata": t["metadata"],
            "warnings": t["warnings"],
            "created": t["created_at"],
            "updated": t["updated_at"],
            "ended": t["ended_at"],
        }
    )


def tasks(page: Mapping[str, Any]) -> list[str]:
    rows = [
        (t["id"], t["state"], t["model"], t["provider"], t["created_at"], t["ended_at"], t["order"].get("prompt"))
        for t in page["data"]
    ]
    return table(("task", "state", "model", "provider", "created", "ended", "prompt"), rows, "No tasks.") + more(page)


def subscription(s: Mapping[str, Any]) -> list[str]:
    return pairs(
        {name: value for name, value in s.items() if name not in ("id", "object", "status_at", "secret")}
        | {"subscription": s["id"], "secret": s.get("secret")}
    )


def subscriptions(page: Mapping[str, Any]) -> list[str]:
    rows = [(s["id"], s["status"], s["channel"], s["target"], s["events"], s["label"]) for s in page["data"]]
    return table(("subscription", "status", "channel", "target", "events", "label"), rows, "No subscriptions.") + more(page)


def deliveries(page: Mapping[str, Any]) -> list[str]:
    rows = [
        (d["id"], d["state"], d["event"], d["task"], d["subscription"], len(d["attempts"]), _last(d), d["created_at"])
        for d in page["data"]
    ]
    titles = ("delivery", "state", "event", "task", "subscription", "attempts", "last answer", "created")
    return table(titles, rows, "No deliveries.") + more(page)


def delivery(d: Mapping[str, Any]) -> list[str]:
    facts = {name: d[name] for name in ("state", "event", "task", "subscription", "created_at", "due_at", "reason", "ended_at")}
    rows = [
        (a["number"], a["at"], a["outcome"], a["status"], f"{a['elapsed_ms']} ms", a["error"] or a["answer"])
        for a in d["attempts"]
    ]
    attempts = table(("attempt", "at", "outcome", "status", "took", "what it said"), rows, "No attempt yet.")
    return [*pairs({"delivery": d["id"]} | facts), "", *attempts]


def _last(d: Mapping[str, Any]) -> Any:
    last = d["attempts"][-1] if d["attempts"] else None
    return last and (last["error"] or last["status"] or last["outcome"])


def happened(entry: Mapping[str, Any]) -> str:
    """One entry of a timeline on one line."""
    match entry:
        case {"type": "transition", "state": state, "sequence": sequence, "source": source}:
            what = f"{state} (#{sequence}, by {source})"
        case {"type": "submission", "number": number, "provider": provider, "outcome": outcome, "reason": reason}:
            what = f"submission {number} to {provider}: {outcome}{f', {reason}' if reason else ''}"
        case {"type": "callback" | "poll" as kind, "provider": provider, "status": status, "verdict": verdict}:
            what = f"{kind} from {provider}: {status or 'unreadable'} → {verdict}"
        case {"type": "attempt", "event": event, "number": number, "outcome": outcome, "error": error, "status": status}:
            what = f"attempt {number} to tell {event}: {outcome}{f', {error or status}' if error or status else ''}"
        case {"type": "delivery", "event": event, "delivery": name, "state": state}:
            what = f"{event} for {name}: {state}"
        case {"type": "event", "event": event}:
            what = f"{event}{f': {message}' if (message := entry.get('message')) else ''}"
        case {"type": kind}:
            what = str(kind)
        case _:
            what = str(entry)
    return clean(f"{entry.get('at', '')}  {what}", 200)
