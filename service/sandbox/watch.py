"""What the watcher of the simulation sees beside the gateways: its guide, its counts, its jobs; and the videos themselves."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.sandbox.desk import json_response
from service.sandbox.job import Job
from service.sandbox.jobs import World
from service.sandbox.settings import RATES
from service.sandbox.stats import digest
from service.sandbox.wishes import WORDS

_SHOWN_JOBS = 1_000
_MP4 = bytes.fromhex("0000001866747970") + b"isom\x00\x00\x02\x00isommp41" + bytes.fromhex("00000008") + b"free"
"""The smallest thing that calls itself an mp4."""
_PNG = b"\x89PNG\r\n\x1a\n"

_GUIDE = """A simulated outside world: the gateways that make videos, and a subscriber that listens.

Gateways, by base URL (any API key opens them; bad-key is refused, poor-key has no money, nogroup-key has no channel at apiyi):
{urls}

Words in a prompt:
{words}

Settings as a share of everything: {rates}.

  GET    {root}/stats             what was asked, placed and called back; callback URLs as SHA-256
  DELETE {root}/stats             count from zero
  GET    {root}/jobs              the newest thousand jobs
  PUT    {root}/receiver/NAME     {{"secret": "whsec_…"}} of the subscription that leads here
  POST   {root}/receiver/NAME     a notice; the query says how to answer: status=500, retry_after=7, hang=30
  GET    {root}/receiver/NAME     what came, and whether its signature was right
  DELETE {root}/receiver/NAME     forget it
"""


class Watch:
    def __init__(self, world: World, paths: Mapping[str, str]) -> None:
        """`paths`: of each gateway, below the sandbox."""
        self._world, self._paths = world, paths

    def routes(self) -> list[Route]:
        return [
            Route("/", self.guide, methods=["GET"]),
            Route("/stats", self.stats, methods=["GET"]),
            Route("/stats", self.clear, methods=["DELETE"]),
            Route("/jobs", self.jobs, methods=["GET"]),
            Route("/videos/{provider}/{id}.{suffix}", self.video, methods=["GET"]),
        ]

    async def guide(self, request: Request) -> Response:
        root = request.scope.get("root_path", "")
        urls = "\n".join(f"  {name:<12} {root}{path}" for name, path in self._paths.items())
        words = "\n".join(f"  {meaning}" for meaning in WORDS.values())
        return PlainTextResponse(_GUIDE.format(urls=urls, words=words, root=root, rates=", ".join(RATES)))

    async def stats(self, request: Request) -> Response:
        return json_response(self._world.stats.view())

    async def clear(self, request: Request) -> Response:
        self._world.stats.clear()
        return Response(status_code=204)

    async def jobs(self, request: Request) -> Response:
        jobs = self._world.everything(_SHOWN_JOBS)
        return json_response({"jobs": [_shown(job) for job in jobs]})

    async def video(self, request: Request) -> Response:
        """Gone after a day. An Authorization header is refused: the address is its own permission."""
        job = self._world.video(request.path_params["provider"], request.path_params["id"])
        if "authorization" in request.headers:
            return Response(status_code=400)
        if job is None or request.query_params.get("X-Tos-Signature") != f"{job.seed:08x}":
            return Response(status_code=403)
        match request.path_params["suffix"]:
            case "mp4":
                return Response(_MP4, media_type="video/mp4")
            case "png" if job.ask.last_frame:
                return Response(_PNG, media_type="image/png")
            case _:
                return Response(status_code=403)


def _shown(job: Job) -> dict[str, Any]:
    url = job.ask.callback_url
    return {
        "id": job.id,
        "provider": job.provider,
        "model": job.ask.model,
        "status": job.word,
        "prompt": job.ask.text[:500],
        "callback": None if url is None else digest(url),
        "created_at": job.created_s,
    }
