"""Ace Data Cloud: POST for everything, `camerafixed`, an envelope around results, callbacks for endings only.

Document: the ByteDance Seedance videos and tasks pages of Ace Data Cloud. Not documented there, and kept plain here:
whether the answer to a submit holds more than `task_id`, retries of callbacks, and the code of a failure that the
filters caused (`forbidden`, their word for moderation, with the upstream's code in the message).
"""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import ark, asks
from service.sandbox.desk import bearer, check_key, counted, json_response, place, read_object
from service.sandbox.job import Job
from service.sandbox.jobs import World
from service.sandbox.refusals import Refusal, invalid, missing, moderates

_FIELDS = {
    *("model", "content", "callback_url", "async", "seed", "ratio", "resolution", "frames", "duration", "camerafixed"),
    *("watermark", "generate_audio", "return_last_frame", "service_tier", "execution_expires_after"),
}
_ITEM_FIELDS = {"type", "text", "image_url", "role"}
_TEXT_LIMIT = 1_000
BATCH = 50
"""Advised, not enforced by the real thing as far as documented; enforced here."""
_CODES = {
    400: "bad_request",
    401: "invalid_token",
    403: "forbidden",
    404: "no_api",
    409: "bad_request",
    429: "too_many_requests",
}


def result(job: Job) -> dict[str, Any]:
    """The envelope of an ending: body of the callback and `response` of the tasks API."""
    head = {"success": job.status == "succeeded", "task_id": job.id, "trace_id": _trace(job)}
    if job.status != "succeeded":
        return head | {"error": _failure(job)}
    flat = job.number % 2 == 1 if job.wish.flat is None else job.wish.flat
    if not flat:
        return head | {"data": ark.task_object(job)}
    data = {"task_id": job.upstream_id, "status": job.word, "video_url": job.media_url("mp4"), "model": job.ask.model}
    if job.ask.last_frame:
        data["last_frame_url"] = job.media_url("png")
    return head | {"data": data}


def letter(job: Job) -> dict[str, Any] | None:
    return result(job) if job.over else None


def _failure(job: Job) -> dict[str, str]:
    if job.error is None:
        return {"code": "timeout", "message": "the task has expired"}
    code, message = job.error["code"], job.error["message"]
    if code == code.lower():
        return job.error
    return {"code": "forbidden" if moderates(code) else "api_error", "message": f"{code}: {message}"}


def _trace(job: Job) -> str:
    return str(UUID(int=job.number, version=4))


class AceData:
    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self, prefix: str) -> list[Route]:
        create = counted(self.world, "acedata", "create", self.refuse, self.create)
        return [
            Route(f"{prefix}/seedance/videos", create, methods=["POST"]),
            Route(f"{prefix}/seedance/tasks", self.tasks, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        self.admit(request)
        body = await read_object(request)
        job = await place(self.world, "acedata", asks.read(translated(body)), request, own_id=True)
        if body.get("async") is True or job.ask.callback_url is not None:
            return json_response({"task_id": job.id})
        await job.ended.wait()
        return json_response(result(job), 200 if job.status == "succeeded" else 500)

    async def tasks(self, request: Request) -> Response:
        """The action in the body decides what is asked, so it also decides what is counted."""
        try:
            self.admit(request)
            body = await read_object(request)
        except Refusal as refusal:
            return self.refuse(refusal)

        async def one(request: Request) -> Response:
            job = self.world.find("acedata", body["id"])
            return json_response({} if job is None else _record(job))

        async def many(request: Request) -> Response:
            if len(body["ids"]) > BATCH:
                raise invalid("ids", f"must be at most {BATCH}")
            found = [job for id in body["ids"] if isinstance(id, str) and (job := self.world.find("acedata", id))]
            return json_response({"items": [_record(job) for job in found], "count": len(found)})

        async def neither(request: Request) -> Response:
            raise invalid("action", "is not valid: expected retrieve with id, or retrieve_batch with ids")

        match body:
            case {"action": "retrieve", "id": str()}:
                return await counted(self.world, "acedata", "get", self.refuse, one)(request)
            case {"action": "retrieve_batch", "ids": list()}:
                return await counted(self.world, "acedata", "batch", self.refuse, many)(request)
            case _:
                return await counted(self.world, "acedata", "get", self.refuse, neither)(request)

    def admit(self, request: Request) -> None:
        key = bearer(request)
        if not key:
            raise Refusal("NoToken", "no token was given")
        check_key(key)

    def refuse(self, refusal: Refusal) -> Response:
        """`error` and `trace_id`, without `success`."""
        status, code = refusal.status, _CODES.get(refusal.status, "api_error")
        match refusal.code:
            case "NoToken":
                code = "no_token"
            case "AccountOverdueError":
                code = "used_up"
            case _ if refusal.moderation:
                status, code = 403, "forbidden"
        error = {"code": code, "message": refusal.message}
        return json_response({"error": error, "trace_id": str(UUID(int=self.world.rng.getrandbits(128), version=4))}, status)


def _record(job: Job) -> dict[str, Any]:
    """`response` is there once it ended; until then nothing in it tells queued from running."""
    out: dict[str, Any] = {
        "_id": f"{job.number:024x}",
        "id": job.id,
        "type": "videos",
        "created_at": round(job.created_s, 3),
        "started_at": round(job.created_s, 3),
        "trace_id": _trace(job),
        "request": {"model": job.ask.model},
    }
    if job.ended_s is not None:
        ended = {"finished_at": round(job.ended_s, 3), "elapsed": round(job.ended_s - job.created_s, 3)}
        out |= {**ended, "response": result(job)}
    return out


def translated(body: dict[str, Any]) -> dict[str, Any]:
    """Into Ark's words, for the checks that both share. Explicit nulls are refused: nothing says that they are taken."""
    for name, value in body.items():
        if name not in _FIELDS:
            raise invalid(name, "is not supported")
        if value is None:
            raise invalid(name, "is not valid: it is null")
    if "frames" in body and "duration" in body:
        raise invalid("frames", "and duration are mutually exclusive")
    if type(body.get("async", False)) is not bool:
        raise invalid("async", "is not valid: expected bool")
    content = body.get("content")
    for index, item in enumerate(content if isinstance(content, list) else ()):
        match item:
            case {"text": _, "image_url": _}:
                raise invalid(f"content[{index}]", "must contain either text or image_url, not both")
            case {"text": str(text)} if len(text) > _TEXT_LIMIT:
                raise invalid(f"content[{index}].text", f"must be at most {_TEXT_LIMIT} characters")
            case {"image_url": str()}:
                raise invalid(f"content[{index}].image_url", "must be an object")
            case dict() if set(item) - _ITEM_FIELDS:
                raise invalid(f"content[{index}]", f"has an unknown field {min(set(item) - _ITEM_FIELDS)}")
            case {"type": _}:
                continue
            case _:
                raise missing(f"content[{index}].type")
    out = {name: value for name, value in body.items() if name not in ("async", "camerafixed")}
    if "camerafixed" in body:
        out["camera_fixed"] = body["camerafixed"]
    return {"ratio": "16:9", "generate_audio": False} | out
