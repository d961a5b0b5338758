"""A provider that speaks Ark's wire and never dies: it takes orders, and calls back until somebody answers 2xx.

It says some words twice, and some late: what it was acknowledged is in the history, each callback under a mark of its own.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from tests.chaos.clock import Clock
from tests.chaos.history import History

PATH = "/contents/generations/tasks"
PATIENCE_S = 5.0
"""For an answer to a callback: Ark's own."""
PAUSE_S = 0.1
TRIES = 400


@dataclass(slots=True)
class Job:
    id: str
    model: str
    prompt: str
    callback_url: str | None
    created_s: int
    echoed: dict[str, Any]
    word: str = "queued"
    telling: list["asyncio.Task[None]"] = field(default_factory=list)

    def as_dict(self, word: str) -> dict[str, Any]:
        out = {
            "id": self.id,
            "model": self.model,
            "status": word,
            "created_at": self.created_s,
            "updated_at": self.created_s,
            **self.echoed,
        }
        if word == "succeeded":
            out["content"] = {"video_url": f"https://videos.invalid/{self.id}.mp4"}
            out["usage"] = {"completion_tokens": 1_000, "total_tokens": 1_000}
        if word == "failed":
            out["error"] = {"code": "InternalServiceError", "message": "the video could not be made"}
        return out


class Player:
    def __init__(self, clock: Clock, history: History, seed: int, pace_s: float = 0.2) -> None:
        self.jobs: dict[str, Job] = {}
        self.pace_s = pace_s
        """Between two words of one job, on average."""
        self.silent = False
        """Calls nobody back: only asking helps."""
        self._clock, self._history, self._dice = clock, history, random.Random(seed)
        self._marks = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=32), timeout=aiohttp.ClientTimeout(PATIENCE_S), trust_env=False
        )

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/ark" + PATH, self._create)
        app.router.add_get("/ark" + PATH, self._list)
        app.router.add_get("/ark" + PATH + "/{id}", self._get)

    async def _create(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        [text] = [item["text"] for item in body["content"] if item["type"] == "text"]
        echoed = {k: body[k] for k in ("safety_identifier",) if k in body}
        now_s = int(self._clock.now_s())
        job = Job(f"cgt-{len(self.jobs) + 1:08d}", body["model"], text, body.get("callback_url"), now_s, echoed)
        self.jobs[job.id] = job
        if "[still]" not in text:
            self._start(self._live(job))
        return web.json_response({"id": job.id})

    async def _get(self, request: web.Request) -> web.Response:
        job = self.jobs.get(request.match_info["id"])
        if job is None:
            error = {"code": "ResourceNotFound", "message": "The specified task is not found."}
            return web.json_response({"error": error}, status=404)
        return web.json_response(job.as_dict(job.word))

    async def _list(self, request: web.Request) -> web.Response:
        named = set(request.query.getall("filter.task_ids", []))
        size, page = int(request.query.get("page_size", 20)), int(request.query.get("page_num", 1))
        found = [job for job in reversed(self.jobs.values()) if not named or job.id in named]
        if request.query.get("filter.service_tier") == "flex":
            found = []
        shown = [job.as_dict(job.word) for job in found[(page - 1) * size : page * size]]
        return web.json_response({"total": len(found), "items": shown})

    async def _live(self, job: Job) -> None:
        for word in ("queued", "running", "failed" if self._dice.random() < 0.1 else "succeeded"):
            await asyncio.sleep(self.pace_s * (0.5 + self._dice.random()))
            job.word = word
            for _ in range(1 + (self._dice.random() < 0.2)):
                late_s = self.pace_s * 2 if self._dice.random() < 0.1 else 0.0
                self.say(job, word, late_s)

    def say(self, job: Job, word: str, late_s: float = 0.0) -> None:
        if job.callback_url is not None and not self.silent:
            self._start(self._tell(job, word, late_s))

    async def _tell(self, job: Job, word: str, late_s: float) -> None:
        await asyncio.sleep(late_s)
        await self.insist(job, word)

    async def insist(self, job: Job, word: str) -> None:
        """One callback, until it is taken."""
        self._marks += 1
        mark = f"mark-{self._marks}"
        for _ in range(TRIES):
            if await self._post(job, word, mark) // 100 == 2:
                return
            await asyncio.sleep(PAUSE_S * (0.5 + self._dice.random()))
        self._history.breach(f"callback {word} of {job.id}: nobody took it in {TRIES} tries")

    async def _post(self, job: Job, word: str, mark: str) -> int:
        """0: there was no answer."""
        assert job.callback_url is not None
        try:
            async with self.http.post(job.callback_url, data=orjson.dumps({**job.as_dict(word), "mark": mark})) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            status = 0
        self._history.answers[f"callback {status or 'broken'}"] += 1
        if status // 100 == 2:
            self._history.callbacks[mark] = job.id
        elif status not in (0, 408, 503):
            self._history.breach(f"callback {word} of {job.id} was answered {status}")
        return status

    @property
    def calling(self) -> int:
        return len(self._tasks)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.http.close()
