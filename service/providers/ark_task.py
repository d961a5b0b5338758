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
    match raw:
        case {"id": task_id, "status": status, **rest}:
            remote_id, word = read.remote_id(task_id), read.words(status)
        case _:
            return Unreadable("not a task: no id or no status")
    if remote_id is None or word is None:
        return Unreadable("the id or the status of the task is not usable")
    known: dict[str, Any] = {"word": word, "remote_id": remote_id, "updated_at": read.instant(rest.get("updated_at"))}
    match state_of(word), rest:
        case State.SUCCEEDED, {"content": {"video_url": url, **content}} if video := read.address(url):
            result = Result(
                video,
                last_frame_url=read.address(content.get("last_frame_url")),
                seed=read.whole(rest.get("seed"), least=-1),
                resolution=read.words(rest.get("resolution")),
                ratio=read.words(rest.get("ratio")),
                duration=read.seconds(rest.get("duration")),
            )
            return Report(State.SUCCEEDED, result=result, tokens=tokens(rest.get("usage")), **known)
        case State.SUCCEEDED, _:
            # Ark empties `content` a day after the success, when the address has died; before that it is a broken body.
            return Unreadable("succeeded without the address of a video")
        case State.FAILED, _:
            return Report(State.FAILED, error=task_error(rest.get("error"), words), **known)
        case State.EXPIRED, _:
            return Report(State.EXPIRED, error=EXPIRED, **known)
        case State.CANCELLED, _:
            return Report(State.CANCELLED, error=CANCELLED, **known)
        case state, _:
            return Report(state, **known)


def tokens(usage: object) -> int | None:
    """`total_tokens` is the same number: what goes in costs none."""
    match usage:
        case {"completion_tokens": count}:
            return read.whole(count)
    return None
