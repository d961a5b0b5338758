"""Pixazo, both of its APIs: the older one that hands Ark through, and the newer one with words of its own.

Documents: "Seedance Pro API Documentation" of Pixazo and its v2 request pages. The older page shows top-level `text` in
its examples and `content[]` in its table: both are taken, with `model` and `callback_url`, and no other field, because
none is named. The newer API's bodies are known by their paths and answers only: the prompt is looked for where it may be.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import ark, asks
from service.sandbox.desk import check_key, counted, json_response, place, read_object
from service.sandbox.job import Job
from service.sandbox.jobs import World
from service.sandbox.refusals import Refusal, invalid, missing

_FIELDS = ("model", "content", "text", "callback_url")
_MODEL = "seedance-1-0-lite-t2v-250428"
"""`model` is optional in the document, without a word about its default; this is the one of its examples."""
_SENTENCES = {
    401: "Invalid or missing authentication",
    402: "Insufficient credits",
    404: "Endpoint not found",
    429: "Rate limit exceeded, please retry later",
    500: "An unexpected error occurred, please try again later",
}
_MINI = "seedance-2-0-mini"
_OPERATIONS = "text-to-video", "first-last-frame-to-video", "reference-to-video", "edit-video", "extend-video"
_MODELS = {
    "seedance-2-0": "dreamina-seedance-2-0-260128",
    "seedance-2-0-fast": "dreamina-seedance-2-0-fast-260128",
    _MINI: "dreamina-seedance-2-0-mini-260615",
    "seedance-2-5": "dreamina-seedance-2-5-260628",
}
_WORDS = {"queued": "QUEUED", "running": "PROCESSING", "succeeded": "COMPLETED", "failed": "FAILED", "expired": "ERROR"}
"""How an expired task is said is not documented."""


def letter(job: Job) -> dict[str, Any] | None:
    """The documented values are queued, running, succeeded and failed. The newer API takes no callback URL at all."""
    return None if job.status in ("expired", "cancelled") else ark.task_object(job)


class Pixazo:
    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self, prefix: str) -> list[Route]:
        def route(path: str, method: str, kind: str, handle: Any) -> Route:
            return Route(prefix + path, counted(self.world, "pixazo", kind, self.refuse, handle), methods=[method])

        return [
            route("/byteplus/v1/generateVideoTask", "POST", "create", self.create),
            route("/byteplus/v1/generateImage2VideoTask", "POST", "create", self.create_from_image),
            route("/bytedance-polling/getVideoResult", "POST", "get", self.get),
            route("/v2/requests/status/{id}", "GET", "get", self.get_v2),
            route("/{family}/v1/{operation}", "POST", "create", self.create_v2),
            # The mini's addresses are known from one table only, which leaves open whether there is a version in them.
            route(f"/{_MINI}/{{operation}}", "POST", "create", self.create_v2),
        ]

    # --- the older API ---

    async def create(self, request: Request) -> Response:
        self.admit(request)
        ask = asks.read(older(await read_object(request)))
        return json_response({"id": (await place(self.world, "pixazo", ask, request)).id})

    async def create_from_image(self, request: Request) -> Response:
        self.admit(request)
        ask = asks.read(older(await read_object(request)))
        if ask.mode == "text":
            raise missing("image_url")
        return json_response({"id": (await place(self.world, "pixazo", ask, request)).id})

    async def get(self, request: Request) -> Response:
        self.admit(request)
        match await read_object(request):
            case {"task_id": str(id)}:
                return json_response(ark.task_object(self._find(id)))
            case _:
                raise missing("task_id")

    # --- the newer API ---

    async def create_v2(self, request: Request) -> Response:
        self.admit(request)
        family, operation = request.path_params.get("family", _MINI), request.path_params["operation"].removesuffix("-fast")
        if family not in _MODELS or operation not in _OPERATIONS:
            raise Refusal("NotFound.Endpoint", "Endpoint not found")
        ask = asks.read(newer(await read_object(request)) | {"model": _MODELS[family]})
        job = await place(self.world, "pixazo", ask, request, own_id=True)
        url = f"{job.root_url}/pixazo/v2/requests/status/{job.id}"
        return json_response({"request_id": job.id, "status": "QUEUED", "polling_url": url}, 202)

    async def get_v2(self, request: Request) -> Response:
        self.admit(request, posts=False)
        job = self._find(request.path_params["id"])
        out: dict[str, Any] = {
            "request_id": job.id,
            "status": _WORDS.get(job.word, job.word),
            "model_id": job.ask.model,
            "error": None,
            "output": None,
        }
        if job.error is not None:
            out["error"] = f"{job.error['code']}: {job.error['message']}"
        elif job.status == "expired":
            out["error"] = "The request has expired"
        elif job.status == "succeeded":
            out["output"] = {"media_url": [job.media_url("mp4")], "media_type": "video/mp4"}
        return json_response(out)

    # --- shapes ---

    def admit(self, request: Request, posts: bool = True) -> None:
        headers = request.headers
        check_key(headers.get("ocp-apim-subscription-key", "").strip())
        if "no-cache" not in headers.get("cache-control", ""):
            raise invalid("Cache-Control", "must be set to no-cache")
        if posts and headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise invalid("Content-Type", "must be set to application/json")

    def refuse(self, refusal: Refusal) -> Response:
        """A bare string. For what was wrong with an order the code is kept in it: the page shows one general sentence only."""
        status = 402 if refusal.code == "AccountOverdueError" else refusal.status
        return json_response({"error": _SENTENCES.get(status, f"{refusal.code}: {refusal.message}")}, status)

    def _find(self, id: str) -> Job:
        job = self.world.find("pixazo", id)
        if job is None:
            raise Refusal("ResourceNotFound", "The requested resource or endpoint could not be found.")
        return job


def older(body: dict[str, Any]) -> dict[str, Any]:
    for name in body:
        if name not in _FIELDS:
            raise invalid(name, "is not supported: write it into the text")
    out = {"model": _MODEL} | body
    match out.pop("text", None), body.get("content"):
        case str(text), None:
            out["content"] = [{"type": "text", "text": text}]
        case str(), _:
            raise invalid("text", "and content say the same thing twice")
    return out


def newer(body: dict[str, Any]) -> dict[str, Any]:
    """The prompt as `prompt`, `text` or in `content[]`; beside it Ark's fields, except those that the address says."""
    for name in ("model", "callback_url"):
        if name in body:
            raise invalid(name, "is not supported")
    out = {name: value for name, value in body.items() if name not in ("prompt", "text")}
    prompt = body.get("prompt", body.get("text"))
    if "content" not in body:
        if not isinstance(prompt, str) or not prompt.strip():
            raise missing("prompt")
        out["content"] = [{"type": "text", "text": prompt}]
    return out
