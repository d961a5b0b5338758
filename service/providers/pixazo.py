"""Pixazo: BytePlus' models behind a subscription key, by two APIs of which an account uses one.

`api = "legacy"` (the default): the 1.x models; a task id of Ark's, asked for by POST, answered with Ark's task object.
`api = "v2"`: the 2.x models; requests of their own shape, one address for each mode of each model.
`body = "text"` (the default) or `"content"`, legacy alone: its page documents `content[]` and shows `text` in every example.

Document: https://www.pixazo.ai/models/seedance (Seedance Pro API; Seedance 2.0 API).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from service.domain.errors import Fault
from service.domain.lifecycle import State
from service.domain.order import Order
from service.domain.report import Accepted, QueryOutcome, Report, Result, SubmitOutcome, Unknown, Unreadable
from service.providers import ark_errors, ark_task, compose, read, refusals
from service.providers.base import Account, Callbacks, Facts
from service.providers.refusals import task_error
from service.wire import Reply

OPTIONS: Mapping[str, tuple[str, ...]] = {"api": ("legacy", "v2"), "body": ("text", "content")}
"""What an account may set, the default first."""

V2_CAN_SAY = frozenset({"resolution", "ratio", "duration", "generate_audio", "watermark", "tools"})

V2_TASKS: Mapping[str, str] = {"edit": "edit-video", "extend": "extend-video", "reference": "reference-to-video"}
"""Modes that an order names by `omni_reference_task_type`; the address says it there, not a field."""

V2_MODELS: tuple[tuple[str, str, str], ...] = (
    # part of the model's id, the path before the mode, what is put behind the mode
    ("seedance-2-0-fast", "/seedance-2-0-fast/v1/", "-fast"),
    ("seedance-2-0-mini", "/seedance-2-0-mini/", ""),
    ("seedance-2-0", "/seedance-2-0/v1/", ""),
    ("seedance-2-5", "/seedance-2-5/v1/", ""),
)


def _option(account: Account, name: str) -> str:
    return account.options.get(name, OPTIONS[name][0])


def _v2(account: Account) -> bool:
    return _option(account, "api") == "v2"


class Pixazo:
    name = "pixazo"
    base_url: str | None = "https://gateway.pixazo.ai"
    facts = Facts(
        callbacks=Callbacks.EVERY,
        typical_s=90,
        verified=(
            "legacy: callback_url tells every change of status: queued, running, succeeded, failed",
            "legacy: parameters go into the text as --flags; queries are POSTs",
            "every request needs Cache-Control: no-cache and the key in Ocp-Apim-Subscription-Key",
            "errors are a bare sentence: they are read by the status of the answer",
            "v2: QUEUED, PROCESSING, COMPLETED, FAILED, ERROR, asked for by GET",
        ),
        unverified=(
            "legacy: the body of a callback: read as Ark's, from which it is said to come",
            "legacy: text or content[]: an option of the account, `body`; images need content",
            "legacy: --seed, --watermark and --frames: Ark's own flags, written into the text like the others",
            "v2: callbacks (a header X-Webhook-URL on copies of its pages): used only when the account says so",
            "v2: the body of a callback: read like the answer to a query",
            "list, cancel, limits: not used; 5 queries a second are assumed",
        ),
    )

    def callbacks_of(self, account: Account) -> Callbacks:
        """The facts' default speaks of the legacy API: v2 promises nothing."""
        return Callbacks.NONE if _v2(account) else self.facts.callbacks

    def refuse(self, order: Order, account: Account) -> Sequence[Fault]:
        faults = [
            Fault(
                "provider", f"the pixazo account {account.name} has {name} = {account.options[name]}: use {' or '.join(known)}."
            )
            for name, known in OPTIONS.items()
            if _option(account, name) not in known
        ]
        if _v2(account):
            faults += compose.unsaid(order, "pixazo (v2)", V2_CAN_SAY | {"omni_reference_task_type"})
            if _v2_path(order) is None:
                faults.append(Fault("model", "pixazo (v2) serves Seedance 2.0, 2.0 fast, 2.0 mini and 2.5."))
            return faults
        faults += compose.unsaid(order, "pixazo", frozenset(compose.FLAGS))
        carried = {"text", "image_url"} if _option(account, "body") == "content" else {"text"}
        faults += [
            Fault(f"content[{i}].type", f"this pixazo account carries {' and '.join(sorted(carried))}, no {item.type}.")
            for i, item in enumerate(order.content)
            if item.type not in carried
        ]
        return faults

    def submit(self, account: Account, order: Order, callback_url: str | None) -> httpx.Request:
        if _v2(account):
            path = _v2_path(order)
            assert path is not None, "refuse() has let through a model without an address"
            said = {name: value for name, value in order.as_dict().items() if name in V2_CAN_SAY}
            told = {} if callback_url is None else {"x-webhook-url": callback_url}
            return _post(account, path, {"content": [item.as_dict() for item in order.items], **said}, told)
        items = compose.flagged(order)
        body: dict[str, Any] = {"model": order.model}
        if _option(account, "body") == "content":
            body["content"] = [item.as_dict() for item in items]
        else:
            body["text"] = " ".join(item.value for item in items)
        if callback_url is not None:
            body["callback_url"] = callback_url
        with_image = any(item.type == "image_url" for item in items)
        return _post(account, f"/byteplus/v1/generate{'Image2VideoTask' if with_image else 'VideoTask'}", body)

    def read_submit(self, reply: Reply, now: int) -> SubmitOutcome:
        match reply.status // 100, read.parsed(reply.body):
            case 2, {"id": task_id} | {"request_id": task_id} if remote_id := read.remote_id(task_id):
                return Accepted(remote_id)
            case 2, _:
                return Unknown(f"answered {reply.status} without an id")
        return refusals.submit(reply, ark_errors.reading, now)

    def query(self, account: Account, remote_id: str) -> httpx.Request:
        if _v2(account):
            url = f"{account.base_url}/v2/requests/status/{compose.segment(remote_id)}"
            return compose.request("GET", url, _headers(account))
        return _post(account, "/bytedance-polling/getVideoResult", {"task_id": remote_id})

    def read_query(self, reply: Reply, remote_id: str, now: int) -> QueryOutcome:
        if reply.status // 100 != 2:
            return refusals.query(reply, ark_errors.reading, now)
        match _report(read.parsed(reply.body)):
            case Report(remote_id=other) if other != remote_id:
                return Unreadable("the answer is about another task")
            case outcome:
                return outcome

    def read_callback(self, body: bytes) -> Report | Unreadable:
        return _report(read.parsed(body))


def _headers(account: Account) -> dict[str, str]:
    # Its pages call both a must; without no-cache its gateway may answer a question with an earlier answer.
    return {"ocp-apim-subscription-key": account.api_key, "cache-control": "no-cache"}


def _post(account: Account, path: str, body: Mapping[str, Any], more: Mapping[str, str] | None = None) -> httpx.Request:
    return compose.request("POST", account.base_url + path, {**_headers(account), **(more or {})}, body)


def _v2_path(order: Order) -> str | None:
    for part, before, behind in V2_MODELS:
        if part in order.model:
            return f"{before}{_mode(order)}{behind}"
    return None


def _mode(order: Order) -> str:
    media = [item for item in order.content if item.type != "text"]
    roles, kinds = {item.role for item in media}, {item.type for item in media}
    # Editing and extending take the same content as a reference: only the task type tells them apart.
    if named := V2_TASKS.get(order.omni_reference_task_type or ""):
        return named
    if not kinds:
        return "text-to-video"
    if kinds == {"image_url"} and roles <= {None, "first_frame", "last_frame"}:
        return "first-last-frame-to-video"
    return "reference-to-video"


def _report(raw: object) -> Report | Unreadable:
    match raw:
        case {"request_id": task_id, "status": status, **rest}:
            remote_id, word = read.remote_id(task_id), read.words(status)
        case _:
            return ark_task.report(raw, ark_errors.reading)
    if remote_id is None or word is None:
        return Unreadable("the id or the status of the request is not usable")
    match ark_task.state_of(word), rest:
        case State.SUCCEEDED, {"output": {"media_url": [url, *_] | url}} if video := read.address(url):
            return Report(State.SUCCEEDED, word, remote_id, result=Result(video))
        case State.SUCCEEDED, _:
            return Unreadable("completed without the address of a video")
        case State.FAILED, _:
            return Report(State.FAILED, word, remote_id, error=task_error(rest.get("error"), ark_errors.reading))
        case State.EXPIRED, _:
            return Report(State.EXPIRED, word, remote_id, error=ark_task.EXPIRED)
        case State.CANCELLED, _:
            return Report(State.CANCELLED, word, remote_id, error=ark_task.CANCELLED)
        case state, _:
            return Report(state, word, remote_id)


PIXAZO = Pixazo()
