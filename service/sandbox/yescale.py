"""YEScale: a prompt with `--flags`, at most a picture, nothing else; an Ark object with two more fields for an answer.

Document: YEScale's Seedance pages "Task submission" and "Query interface". They show neither errors, nor authentication,
nor callbacks: Bearer and Ark's error object are assumed; a `callback_url` is taken and ignored unless the settings say otherwise.
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import ark, asks, flags
from service.sandbox.desk import bearer, check_key, counted, json_response, place, read_object
from service.sandbox.families import RATIOS
from service.sandbox.job import Job
from service.sandbox.jobs import World
from service.sandbox.refusals import Refusal, invalid

_FIELDS = ("model", "content", "callback_url")
_MORE_RATIOS = ("9:21", "keep_ratio")
_VALUES = {
    "duration": ("5", "10"),
    "resolution": ("480p", "1080p"),
    "ratio": (*RATIOS, *_MORE_RATIOS, "adaptive"),
    "camera_fixed": ("true", "false"),
}
"""The documented flags and their values. Ark's other flags are handed through, because Ark stands behind it."""
_MESSAGE = "YEScale - Seedance Video Generation - "

letter = ark.letter


class YEScale:
    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self, prefix: str) -> list[Route]:
        path = f"{prefix}/seedance/generations"
        create = counted(self.world, "yescale", "create", self.refuse, self.create)
        get = counted(self.world, "yescale", "get", self.refuse, self.get)
        return [Route(path, create, methods=["POST"]), Route(path + "/{id}", get, methods=["GET"])]

    async def create(self, request: Request) -> Response:
        check_key(bearer(request))
        body = await read_object(request)
        check(body)
        job = await place(self.world, "yescale", asks.read(body, _MORE_RATIOS), request)
        return json_response({"id": job.id, "message": f"{_MESSAGE}Submit"})

    async def get(self, request: Request) -> Response:
        check_key(bearer(request))
        job = self.world.find("yescale", request.path_params["id"])
        if job is None:
            raise Refusal("ResourceNotFound", "The specified task is not found.", "id")
        return json_response(ark.task_object(job) | {"message": f"{_MESSAGE}Query", "request": _request(job)})

    def refuse(self, refusal: Refusal) -> Response:
        error = {"code": refusal.code, "message": refusal.message, "param": refusal.param}
        return json_response({"error": error}, refusal.status)


def _request(job: Job) -> dict[str, Any]:
    return {"model": job.ask.model, "content": [{"type": "text", "text": job.ask.text}]}


def check(body: Mapping[str, Any]) -> None:
    for name in body:
        if name not in _FIELDS:
            raise invalid(name, "is not supported: write it into the text")
    content = body.get("content")
    for item in content if isinstance(content, list) else ():
        match item:
            case {"type": "text", "text": str(text)}:
                for name, value in flags.read(text).items():
                    if value not in _VALUES.get(name, (value,)):
                        raise invalid(f"--{name}", f"is not valid: expected one of {', '.join(_VALUES[name])}")
            case {"type": "text" | "image_url"}:
                continue
            case _:
                raise invalid("content", "is not valid: only text and image_url are known")
