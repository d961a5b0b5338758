"""A provider as a state machine: what it was asked and the time go in, what it answers comes out. It speaks Ark's wire.

It always knows the truth about its jobs; whether anybody hears it is the world's business.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import orjson

from tests.world import START_MS

START_S = START_MS / 1000
"""When virtual time begins, by the clock of everybody but the service."""
Reply = tuple[int, dict[str, str], bytes]
ORDER = ("queued", "running", "ended")


@dataclass(slots=True)
class Job:
    id: str
    order: int
    body: dict[str, Any]
    made_s: float
    running_s: float
    ended_s: float
    ending: str
    forgotten: bool = False

    def status(self, now_s: float) -> str:
        return "queued" if now_s < self.running_s else "running" if now_s < self.ended_s else self.ending

    def cancel(self, now_s: float) -> None:
        self.running_s = self.ended_s = now_s
        self.ending = "cancelled"

    def shown(self, status: str, now_s: float) -> dict[str, Any]:
        since_s = {"queued": self.made_s, "running": self.running_s}.get(status, min(self.ended_s, now_s))
        out = {
            "id": self.id,
            "model": self.body["model"],
            "status": status,
            "created_at": int(self.made_s),
            "updated_at": int(since_s),
        }
        for name in ("safety_identifier", "service_tier"):
            if name in self.body:
                out[name] = self.body[name]
        if status == "succeeded":
            out |= {"content": {"video_url": f"https://videos.test/{self.id}.mp4"}, "usage": {"completion_tokens": 49_005}}
        if status == "failed":
            out |= {"error": {"code": "OutputVideoSensitiveContentDetected", "message": "no"}}
        return out


@dataclass(slots=True)
class Provider:
    name: str
    jobs: dict[str, Job] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    """How often about each job, alone or in a list that named it."""

    def accept(self, now_s: float, body: dict[str, Any], order: int, queue_s: float, run_s: float, ending: str) -> Job:
        number = f"cgt-{self.name}-{len(self.jobs) + 1}"
        job = self.jobs[number] = Job(number, order, body, now_s, now_s + queue_s, now_s + queue_s + run_s, ending)
        return job

    def answer(self, now_s: float, method: str, path: str, query: str) -> Reply:
        """A question, or a cancel. Ark's DELETE cancels what is queued, refuses what runs, and forgets what has ended."""
        remote_id = path.rsplit("/", 1)[-1]
        if remote_id == "tasks":
            return self._list(now_s, parse_qs(query))
        job = self.jobs.get(remote_id)
        if method == "GET":
            self.asked[remote_id] = self.asked.get(remote_id, 0) + 1
        if job is None or job.forgotten:
            return reply(404, {"error": {"code": "ResourceNotFound", "message": "unknown"}})
        status = job.status(now_s)
        if method == "GET":
            return reply(200, job.shown(status, now_s))
        if status == "running":
            return reply(409, {"error": {"code": "InvalidAction.RunningTaskDeletion", "message": "it is running"}})
        if status == "queued":
            job.cancel(now_s)
        else:
            job.forgotten = True
        return reply(200, {})

    def _list(self, now_s: float, query: dict[str, list[str]]) -> Reply:
        named = query.get("filter.task_ids")
        model = query.get("filter.model")
        flex = query.get("filter.service_tier") == ["flex"]
        for each in named or ():
            self.asked[each] = self.asked.get(each, 0) + 1
        found = [
            job.shown(job.status(now_s), now_s)
            for job in reversed(self.jobs.values())
            if not job.forgotten
            and (named is None or job.id in named)
            and (model is None or job.body["model"] == model[0])
            and (job.body.get("service_tier") == "flex") == flex
        ]
        size, page = int(query["page_size"][0]), int(query["page_num"][0])
        return reply(200, {"total": len(found), "items": found[(page - 1) * size : page * size]})


def reply(status: int, document: Any, **headers: str) -> Reply:
    return status, {"content-type": "application/json", **headers}, orjson.dumps(document)
