"""Ark's task object, read once for every gateway that passes it on: the answer to a question, an entry of a list, the body of
a callback.

Document: https://docs.byteplus.com/en/docs/ModelArk/1521309 (retrieve a video generation task).
"""

from typing import Any

from service.domain.errors import Category, TaskError
from service.domain.lifecycle import State
from service.domain.report import Report, Result, Unreadable
from service.providers import read
from service.providers.refusals import Words, task_error

STATES = {
    # Ark's six words, and what gateways in front of it make of them.
    "queued": State.QUEUED,
    "pending": State.QUEUED,
    "submitted": State.QUEUED,
    "running": State.RUNNING,
    "processing": State.RUNNING,
    "in_progress": State.RUNNING,
    "succeeded": State.SUCCEEDED,
    "succeed": State.SUCCEEDED,
    "success": State.SUCCEEDED,
    "completed": State.SUCCEEDED,
    "failed": State.FAILED,
    "failure": State.FAILED,
    "error": State.FAILED,
    "cancelled": State.CANCELLED,
    "canceled": State.CANCELLED,
    "expired": State.EXPIRED,
}

EXPIRED = TaskError("expired", "The provider gave the task up: it took longer than it was allowed to.", Category.EXPIRED)
CANCELLED = TaskError("cancelled", "The task was cancelled at the provider.", Category.CANCELLED)


def state_of(word: str) -> State | None:
    return STATES.get(word.lower())


def report(raw: object, words: Words) -> Report | Unreadable:
    # Nearly every callback comes through here: plain look-ups, since a mapping pattern copies what it is matched against.
    if not isinstance(raw, dict) or "id" not in raw or "status" not in raw:
        return Unreadable("not a task: no id or no status")
    remote_id, word = read.remote_id(raw["id"]), status_word(raw["status"])
    if remote_id is None or word is None:
        return Unreadable("the id or the status of the task is not usable")
    at = read.instant(raw.get("updated_at"))
    match state_of(word):
        case State.SUCCEEDED:
            result = video(raw)
            if result is None:
                # Ark empties `content` a day after the success, when the address has died; before that it is a broken body.
                return Unreadable("succeeded without the address of a video")
            return Report(State.SUCCEEDED, word, remote_id, result, tokens(raw.get("usage")), None, at)
        case State.FAILED:
            return Report(State.FAILED, word, remote_id, error=task_error(raw.get("error"), words), updated_at=at)
        case State.EXPIRED:
            return Report(State.EXPIRED, word, remote_id, error=EXPIRED, updated_at=at)
        case State.CANCELLED:
            return Report(State.CANCELLED, word, remote_id, error=CANCELLED, updated_at=at)
        case state:
            return Report(state, word, remote_id, updated_at=at)


def status_word(value: object) -> str | None:
    return value if isinstance(value, str) and value in STATES else read.words(value)


def video(raw: dict[str, Any]) -> Result | None:
    content = raw.get("content")
    if not isinstance(content, dict):
        return None
    url = read.address(content.get("video_url"))
    if url is None:
        return None
    return Result(
        url,
        last_frame_url=read.address(content.get("last_frame_url")),
        seed=read.whole(raw.get("seed"), least=-1),
        resolution=read.words(raw.get("resolution")),
        ratio=read.words(raw.get("ratio")),
        duration=read.seconds(raw.get("duration")),
    )


def tokens(usage: object) -> int | None:
    """`total_tokens` is the same number: what goes in costs none."""
    match usage:
        case {"completion_tokens": count}:
            return read.whole(count)
    return None
