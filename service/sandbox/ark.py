"""Ark's own wire, and that of the gateways which hand it through: Volcengine, BytePlus, AgentsFlare, APIYI.

Documents: the video generation pages of BytePlus ModelArk and Volcengine Ark; docs of AgentsFlare and APIYI for what
those two leave out (list and delete) and APIYI's quirks. No document names the error shapes of AgentsFlare: Ark's are used.
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import asks
from service.sandbox.desk import bearer, check_key, counted, json_response, place, read_object
from service.sandbox.job import Job
from service.sandbox.jobs import World
from service.sandbox.refusals import Refusal, invalid

TASKS = "/contents/generations/tasks"
LISTS_PER_S = 1
GETS_PER_S = 20
_PAGES = (1, 500)
_STATUSES = ("queued", "running", "cancelled", "succeeded", "failed")
"""`expired` is not among the documented filters."""
_FILTERS = frozenset({"page_num", "page_size", "filter.status", "filter.task_ids", "filter.model", "filter.service_tier"})
_TYPES = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 429: "TooManyRequests"}


def task_object(job: Job) -> dict[str, Any]:
    """What GET, the list and the callbacks all show. Before success only what the recordings of such tasks hold."""
    ask = job.ask
    out: dict[str, Any] = {
        "id": job.upstream_id,
        "model": ask.model,
        "status": job.word,
        "created_at": int(job.created_s),
        "updated_at": int(job.updated_s),
    }
    if job.error is not None:
        out["error"] = job.error
    if job.status != "succeeded":
        if "safety_identifier" in ask.echoed:
            out["safety_identifier"] = ask.echoed["safety_identifier"]
        return out
    out["content"] = {"video_url": job.media_url("mp4")}
    if ask.last_frame:
        out["content"]["last_frame_url"] = job.media_url("png")
    out["usage"] = {"completion_tokens": job.tokens, "total_tokens": job.tokens}
    out |= {"seed": job.seed, "resolution": ask.resolution, "ratio": ask.ratio, "framespersecond": 24}
    out |= {"duration": ask.duration} if ask.frames is None else {"frames": ask.frames}
    return out | dict(ask.echoed)


def letter(job: Job) -> dict[str, Any] | None:
    """The callback of every change; `cancelled` is not among the documented ones."""
    return None if job.status == "cancelled" else task_object(job)


class Ark:
    def __init__(self, world: World, provider: str, lists: bool = True) -> None:
        self.world, self.provider, self._lists = world, provider, lists
        self._answers = 0

    def routes(self, prefix: str) -> list[Route]:
        path, one = prefix + TASKS, prefix + TASKS + "/{id}"

        def route(path: str, method: str, kind: str, handle: Any) -> Route:
            return Route(path, counted(self.world, self.provider, kind, self.refuse, handle), methods=[method])

        routes = [
            route(path, "POST", "create", self.create),
            # There is no cancel route: whatever is posted below a task lands in create.
            route(path + "/{rest:path}", "POST", "create", self.create),
            route(one, "GET", "get", self.get),
        ]
        if self._lists:
            routes += [route(path, "GET", "list", self.browse), route(one, "DELETE", "delete", self.delete)]
        return routes

    # --- the four operations ---

    async def create(self, request: Request) -> Response:
        self.admit(request)
        body = await read_object(request)
        self.check(body)
        job = await place(self.world, self.provider, asks.read(body), request)
        return self.answer({"id": job.id})

    async def get(self, request: Request) -> Response:
        self.admit(request)
        self.world.limit(self.provider, "get", GETS_PER_S)
        return self.answer(task_object(self._find(request)))

    async def browse(self, request: Request) -> Response:
        self.admit(request)
        self.world.limit(self.provider, "list", LISTS_PER_S)
        query = request.query_params
        unknown = sorted(set(query) - _FILTERS)
        if unknown:
            raise invalid(unknown[0], "is not supported", "InvalidParameter.UnsupportedParameter")
        number, size = _page(query, "page_num", 1), _page(query, "page_size", 20)
        status, tier = query.get("filter.status"), query.get("filter.service_tier", "default")
        if status is not None and status not in _STATUSES:
            raise invalid("filter.status", f"is not valid: expected one of {', '.join(_STATUSES)}")
        if tier not in ("default", "flex"):
            raise invalid("filter.service_tier", "is not valid: expected default or flex")
        ids, model = frozenset(query.getlist("filter.task_ids")), query.get("filter.model")
        found = [
            job
            for job in self.world.newest_first(self.provider)
            if (not ids or job.id in ids)
            and (status is None or job.status == status)
            and (model is None or job.ask.model == model)
            and job.ask.flex == (tier == "flex")
        ]
        page = found[(number - 1) * size : number * size]
        return self.answer({"total": len(found), "items": [task_object(job) for job in page]})

    async def delete(self, request: Request) -> Response:
        self.admit(request)
        job = self._find(request)
        match job.status:
            case "queued":
                self.world.cancel(job)
            case "running":
                message = f"Cannot delete task `{job.id}` because it is currently running."
                raise Refusal("InvalidAction.RunningTaskDeletion", message)
            case "cancelled":
                # Documented as not allowed; with which words is not.
                raise Refusal("OperationDenied.InvalidState", f"Cannot delete task `{job.id}` because it is cancelled.")
            case _:
                self.world.forget(job)
        return self.answer({})

    # --- shapes ---

    def admit(self, request: Request) -> None:
        check_key(bearer(request))

    def check(self, body: Mapping[str, Any]) -> None:
        """What a gateway refuses beyond Ark."""

    def answer(self, body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        self._answers += 1
        return json_response(body, status, {"x-request-id": f"{self.provider}-{self._answers}", **(headers or {})})

    def refuse(self, refusal: Refusal) -> Response:
        message = f"{refusal.message} request id: {self.provider}-{self._answers + 1}"
        kind = _TYPES.get(refusal.status, "InternalServerError")
        error = {"code": refusal.code, "message": message, "param": refusal.param, "type": kind}
        return self.answer({"error": error}, refusal.status, {"x-error-code": refusal.code})

    def _find(self, request: Request) -> Job:
        id = request.path_params["id"]
        job = self.world.find(self.provider, id)
        if job is None:
            # A 404 is certain, its code is not: ResourceNotFound and NotFound.… are both seen.
            raise Refusal("ResourceNotFound", f"The specified task {id[:100]} is not found.", "id")
        return job


class Apiyi(Ark):
    """Ark's shape, fewer parameters, and a label that lies: the body is plain, the header says gzip."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "apiyi", lists=False)

    def admit(self, request: Request) -> None:
        super().admit(request)
        if bearer(request) == "nogroup-key":
            # The words are documented, their code and status are not: 403 as for a service that is not open.
            raise Refusal("AccessDenied", "Current group default has no available channels for model")

    def check(self, body: Mapping[str, Any]) -> None:
        for name in ("frames", "camera_fixed", "service_tier"):
            if body.get(name) is not None:
                raise invalid(name, "is not supported", "InvalidParameter.UnsupportedParameter")
        match body:
            case {"model": str(model)} if model.startswith("ep-"):
                raise invalid("model", "is not valid: a plain model id, no ep- prefix")
            case {"resolution": "4k"}:
                raise invalid("resolution", "is not valid: 4k is not offered")

    def answer(self, body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Mislabelled always: that asking for `identity` prevents it is advice for one client library, not a promise."""
        return super().answer(body, status, {**(headers or {}), "Content-Encoding": "gzip"})


def _page(query: Mapping[str, str], name: str, otherwise: int) -> int:
    raw = query.get(name, str(otherwise))
    least, most = _PAGES
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 3 and least <= int(raw) <= most):
        raise invalid(name, f"must be between {least} and {most}")
    return int(raw)
