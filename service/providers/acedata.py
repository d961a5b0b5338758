"""Ace Data Cloud: its own envelope around Ark's task, its own ids, and callbacks for endings alone.

Document: https://platform.acedata.cloud (ByteDance Seedance Videos API; Seedance Tasks API).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from service.domain.errors import Category, Fault
from service.domain.flags import merge
from service.domain.lifecycle import State
from service.domain.order import Order
from service.domain.report import Accepted, BatchOutcome, Missing, QueryOutcome, Report, SubmitOutcome, Unknown, Unreadable
from service.providers import ark_errors, ark_list, ark_task, compose, read, refusals
from service.providers.base import Account, Callbacks, Facts
from service.providers.refusals import Reading, Said, Submit, task_error
from service.wire import Reply

BATCH = 50
"""Tasks in one question: what its page advises."""

TEXT_LIMIT = 1_000
"""Characters of a text item in its schema."""

SPELLING: Mapping[str, str] = {"camera_fixed": "camerafixed"}
CAN_SAY = frozenset(
    {"resolution", "ratio", "duration", "frames", "seed", "watermark", "camera_fixed", "generate_audio", "return_last_frame"}
    | {"execution_expires_after"}
)
CARRIED = frozenset({"text", "image_url"})

WITH_AUDIO = ("seedance-1-5-pro", "seedance-2-")
"""Parts of the ids of models that have sound: 1.5 pro and everything from 2.0 on."""

_CREDENTIALS = Reading(Category.CREDENTIALS)
WORDS: Mapping[str, Reading] = {
    "bad_request": Reading(Category.PARAMETERS),
    "request_too_large": Reading(Category.PARAMETERS),
    "no_token": _CREDENTIALS,
    "token_mismatched": _CREDENTIALS,
    "invalid_token": _CREDENTIALS,
    "token_expired": _CREDENTIALS,
    "api_not_implemented": _CREDENTIALS,
    "disabled": _CREDENTIALS,
    # A wrong address of ours: an unknown task is `{}` here, never a 404.
    "no_api": Reading(Category.CREDENTIALS, certain=True),
    "used_up": Reading(Category.QUOTA),
    "forbidden": Reading(Category.INPUT_MODERATION),
    "too_many_requests": Reading(Category.TRANSIENT, Submit.BUSY),
    "api_error": Reading(Category.TRANSIENT, Submit.UNKNOWN),
    "timeout": Reading(Category.TRANSIENT, Submit.UNKNOWN),
}


def reading(what: Said) -> Reading | None:
    """Ark's word for it when the message quotes one: `api_error` is any fault upstream, and `forbidden` any filter."""
    return ark_errors.reading(what) or WORDS.get(what.code)


class AceData:
    name = "acedata"
    base_url: str | None = "https://api.acedata.cloud"
    facts = Facts(
        callbacks=Callbacks.ENDINGS,
        batch=BATCH,
        batches_per_s=1.0,
        typical_s=120,
        verified=(
            "callbacks tell how a task ended and nothing before; they carry no signature",
            "two shapes of the result, with the video at the top or in `content`: both are read",
            "up to 50 tasks in one question; a task it does not know is an empty object",
            "sound is off there unless asked for: asked for where Ark would make it, so that an order means the same",
            "resolution and ratio have other defaults there: Ark's are sent for orders that are silent about them",
        ),
        unverified=(
            "how often it repeats a callback that was not answered: silence makes us ask",
            "whether the answer to a submit holds more than task_id: nothing else is read",
            "service_tier: on one page, absent from the newest schema; flex is refused",
            "`adaptive` as a ratio: sent, because Ark's models know it",
            "cancel: none is documented",
            "its limits: 5 queries a second are assumed",
        ),
    )

    def refuse(self, order: Order, account: Account) -> Sequence[Fault]:
        faults = compose.unsaid(order, self.name, CAN_SAY)
        for i, item in enumerate(order.content):
            if item.type not in CARRIED:
                faults.append(Fault(f"content[{i}].type", f"acedata carries text and image_url, no {item.type}."))
            elif item.type == "text" and len(item.value) > TEXT_LIMIT:
                faults.append(
                    Fault(f"content[{i}].text", f"acedata takes {TEXT_LIMIT} characters; this has {len(item.value)}.")
                )
        if order.prompt is not None and len(order.prompt) > TEXT_LIMIT:
            faults.append(Fault("prompt", f"acedata takes {TEXT_LIMIT} characters; this has {len(order.prompt)}."))
        return faults

    def submit(self, account: Account, order: Order, callback_url: str | None) -> httpx.Request:
        said = {name: value for name, value in order.as_dict().items() if name in CAN_SAY}
        spelled = {SPELLING.get(name, name): value for name, value in {**_arks_defaults(order), **said}.items()}
        body = {"model": order.model, "content": [item.as_dict() for item in order.items], **spelled}
        # Without `async` the answer to the submit would come when the video is ready, minutes later.
        body["async"] = True
        if callback_url is not None:
            body["callback_url"] = callback_url
        return self._post(account, "/seedance/videos", body)

    def read_submit(self, reply: Reply, now: int) -> SubmitOutcome:
        match reply.status // 100, read.parsed(reply.body):
            case 2, {"task_id": task_id} if remote_id := read.remote_id(task_id):
                return Accepted(remote_id)
            case 2, _:
                return Unknown(f"answered {reply.status} without a task_id")
        return refusals.submit(reply, reading, now)

    def query(self, account: Account, remote_id: str) -> httpx.Request:
        return self._post(account, "/seedance/tasks", {"id": remote_id, "action": "retrieve"})

    def read_query(self, reply: Reply, remote_id: str, now: int) -> QueryOutcome:
        if reply.status // 100 != 2:
            return refusals.query(reply, reading, now)
        match read.parsed(reply.body):
            case {**nothing} if not nothing:
                return Missing("answered {}: no such task")
            case {"id": str() as other} if other != remote_id:
                return Unreadable("the answer is about another task")
            case record:
                return _record(record)

    def query_many(self, account: Account, remote_ids: Sequence[str], flex: bool) -> httpx.Request:
        assert 0 < len(remote_ids) <= BATCH
        return self._post(account, "/seedance/tasks", {"ids": list(remote_ids), "action": "retrieve_batch"})

    def read_many(self, reply: Reply, now: int) -> BatchOutcome:
        if reply.status // 100 != 2:
            return ark_list.about_no_task(refusals.query(reply, reading, now))
        match read.parsed(reply.body):
            case {"items": list() as items}:
                return ark_list.by_remote_id(_entry(item) for item in items[:BATCH])
        return Unreadable("not a list of tasks")

    def read_callback(self, body: bytes) -> Report | Unreadable:
        return _envelope(read.parsed(body), None)

    def _post(self, account: Account, path: str, body: Mapping[str, Any]) -> httpx.Request:
        return compose.request("POST", account.base_url + path, compose.bearer(account), body)


def _arks_defaults(order: Order) -> dict[str, Any]:
    """What Ark does for an order that does not say, where this gateway would do something else. Of models it cannot place it
    knows nothing and says nothing."""
    merged = merge(order).order
    first_series = "seedance-1-0-" in order.model
    with_audio = any(part in order.model for part in WITH_AUDIO)
    out: dict[str, Any] = {}
    if with_audio and merged.generate_audio is None:
        out["generate_audio"] = True
    if (with_audio or first_series) and merged.resolution is None:
        out["resolution"] = "1080p" if "seedance-1-0-pro" in order.model else "720p"
    framed = any(item.type == "image_url" and item.role != "reference_image" for item in order.content)
    if (with_audio or (first_series and framed)) and merged.ratio is None:
        out["ratio"] = "adaptive"
    return out


def _record(raw: object) -> Report | Unreadable:
    """A task as the tasks API keeps it: `response` holds what a callback would have said, once there is something to say."""
    match raw:
        case {"id": task_id, **rest} if remote_id := read.remote_id(task_id):
            pass
        case _:
            return Unreadable("not a task: no id")
    match rest:
        case {"response": response} if response not in (None, {}):
            return _envelope(response, remote_id)
        case {"finished_at": finished} if finished is not None:
            return Unreadable("finished without a response")
        case {"started_at": started} if started is not None:
            return Report(State.RUNNING, "started", remote_id)
    return Report(State.QUEUED, "pending", remote_id)


def _entry(raw: object) -> Report | None:
    match raw, _record(raw):
        case _, Report() as known:
            return known
        case {"id": task_id}, Unreadable(reason):
            return ark_list.nameless(read.remote_id(task_id), reason)
    return None


def _envelope(raw: object, asked: str | None) -> Report | Unreadable:
    match raw:
        case {"task_id": task_id, **rest}:
            remote_id = read.remote_id(task_id)
        case {**rest}:
            remote_id = asked
        case _:
            return Unreadable("not an envelope")
    if remote_id is None or asked not in (None, remote_id):
        return Unreadable("the envelope names no task, or another one")
    match rest:
        case {"success": True, "data": {**data}} | {"success": True, "data": [{**data}]}:
            return _result(data, remote_id)
        case {"success": False, **rest}:
            return Report(State.FAILED, "failed", remote_id, error=task_error(rest.get("error"), reading))
    return Unreadable("an envelope without success, or without data")


def _result(data: Mapping[Any, Any], remote_id: str) -> Report | Unreadable:
    """`data` is Ark's task, or a flat rendering of it. Its id is Ark's own: ours is the envelope's."""
    flat = {"video_url": data.get("video_url"), "last_frame_url": data.get("last_frame_url")}
    return ark_task.report({**data, "id": remote_id, "content": data.get("content") or flat}, reading)


ACEDATA = AceData()
