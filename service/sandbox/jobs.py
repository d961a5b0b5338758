"""The simulated world: jobs that are queued, run and end by themselves, whoever asks.

What is absent: HTTP and the words of any gateway. Dialects read a `Job`; `tell` is called at every change of one.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from string import ascii_lowercase, digits
from uuid import UUID

from service.sandbox import wishes
from service.sandbox.asks import Ask
from service.sandbox.job import VIDEO_S, Job, Tasks
from service.sandbox.memory import Memory
from service.sandbox.refusals import Refusal, Silence, sentence
from service.sandbox.settings import SandboxSettings
from service.sandbox.stats import Stats
from service.sandbox.wishes import Wish

RECORD_S = 7 * 86_400
"""How long a job can be asked about."""
CANCELLED_RECORD_S = 86_400
PROMPTS = 10_000
"""Prompts with `[429]` whose refusals are counted; the oldest are forgotten."""


class World:
    def __init__(
        self,
        settings: SandboxSettings,
        stats: Stats,
        now_s: Callable[[], float],
        rng: random.Random,
        tell: Callable[[Job], None],
    ) -> None:
        self.settings, self.stats, self.now_s, self.rng, self._tell = settings, stats, now_s, rng, tell
        self._jobs: dict[str, Job] = {}
        self._ended: dict[str, Job] = {}
        self._busy: dict[tuple[str, str], int] = {}
        self._asked: dict[str, tuple[int, int]] = {}
        self._number = 0
        self.tasks = Tasks()
        self._memory = Memory(Path(settings.memory)) if settings.memory is not None else None

    def resume(self) -> None:
        """Go on with the jobs of an earlier process. What ended meanwhile has ended; its callbacks found nobody."""
        for job in self._memory.recall() if self._memory is not None else ():
            self._jobs[job.id] = job
            self._number = max(self._number, job.number)
            job.life = self.tasks.start(self._live(job, self.now_s() - job.created_s))

    # --- orders ---

    def place(self, provider: str, ask: Ask, root_url: str, own_id: bool = False) -> Job:
        """Raises Refusal, or Silence when the job was placed and the answer is to be withheld.

        `own_id`: the gateway has a name of its own for the job beside Ark's.
        """
        wish = wishes.draw(wishes.read(ask.text, self.settings.hang_s), self.settings, self.rng)
        if wish.reject is not None:
            raise Refusal(wish.reject)
        self._refuse_when_busy(provider, ask, wish)
        if wish.error == "nothing":
            raise Refusal("InternalServiceError")
        job = self._accept(provider, ask, wish, root_url, own_id)
        if wish.error == "placed":
            raise Refusal("InternalServiceError")
        if wish.hang_s is not None:
            raise Silence(wish.hang_s)
        return job

    def _refuse_when_busy(self, provider: str, ask: Ask, wish: Wish) -> None:
        by_chance = self.settings.rates.get("busy", 0.0) > self.rng.random()
        told = self._busy.get((provider, ask.text), 0)
        if told < wish.busy:
            self._busy[provider, ask.text] = told + 1
            if len(self._busy) > PROMPTS:
                del self._busy[next(iter(self._busy))]
        elif not by_chance:
            return
        # Whether the real thing sends Retry-After is not documented.
        message = "The request failed because it exceeded the rate limit, please retry later."
        raise Refusal("RateLimitExceeded.EndpointRPMExceeded", message, retry_after_s=self.settings.retry_after_s)

    def _accept(self, provider: str, ask: Ask, wish: Wish, root_url: str, own_id: bool) -> Job:
        self._make_room()
        self._number += 1
        now, upstream_id = self.now_s(), self._upstream_id()
        id = str(UUID(int=self.rng.getrandbits(128), version=4)) if own_id else upstream_id
        seed = ask.seed if ask.seed != -1 else self.rng.randrange(100_000)
        job = Job(id, upstream_id, self._number, provider, ask, wish, now, now, seed, self.settings.public_url or root_url)
        self._jobs[id] = job
        if self._memory is not None:
            self._memory.keep(job)
        self.stats.placed(provider, ask.callback_url)
        self._tell(job)
        job.life = self.tasks.start(self._live(job))
        return job

    def _make_room(self) -> None:
        while len(self._jobs) >= self.settings.jobs:
            if not self._ended:
                raise Refusal("QuotaExceeded", retry_after_s=self.settings.retry_after_s)
            self.forget(next(iter(self._ended.values())))

    def _upstream_id(self) -> str:
        while True:
            tail = "".join(self.rng.choices(ascii_lowercase + digits, k=5))
            id = f"cgt-{datetime.fromtimestamp(self.now_s(), UTC):%Y%m%d%H%M%S}-{tail}"
            if id not in self._jobs:
                return id

    async def _live(self, job: Job, lived_s: float = 0.0) -> None:
        factor = self.settings.slow_factor if job.wish.slow else 1.0
        running_s = self.settings.queue_s * factor
        ending_s = running_s + self.settings.run_s * factor
        if lived_s < running_s:
            await asyncio.sleep(running_s - lived_s)
        if job.wish.stuck == "queued":
            return
        self._move(job, "running")
        if lived_s < ending_s:
            await asyncio.sleep(ending_s - max(lived_s, running_s))
        if job.wish.stuck is not None:
            return
        if job.wish.expire:
            self._move(job, "expired")
        elif job.wish.fail is not None:
            job.error = {"code": job.wish.fail, "message": sentence(job.wish.fail)}
            self._move(job, "failed")
        else:
            self._move(job, "succeeded")

    def _move(self, job: Job, status: str) -> None:
        job.status, job.updated_s = status, self.now_s()
        if job.over:
            job.ended_s = job.updated_s
            self._ended[job.id] = job
            job.ended.set()
        self._tell(job)

    # --- questions ---

    def find(self, provider: str, id: str) -> Job | None:
        job = self._jobs.get(id)
        return job if job is not None and job.provider == provider and self._known(job) else None

    def newest_first(self, provider: str) -> list[Job]:
        return [job for job in reversed(self._jobs.values()) if job.provider == provider and self._known(job)]

    def everything(self, count: int) -> list[Job]:
        """For whoever watches the sandbox itself: also what the gateways pretend to have forgotten."""
        return list(self._jobs.values())[-count:]

    def video(self, provider: str, id: str) -> Job | None:
        """Videos outlive neither a day nor their record; a forgotten job's video is still there."""
        job = self._jobs.get(id)
        if job is None or job.provider != provider or job.ended_s is None or job.status != "succeeded":
            return None
        return job if self.now_s() < job.ended_s + VIDEO_S else None

    def _known(self, job: Job) -> bool:
        if job.wish.forget:
            return False
        if job.status == "cancelled":
            return self.now_s() < job.updated_s + CANCELLED_RECORD_S
        return self.now_s() < job.created_s + RECORD_S

    def limit(self, provider: str, kind: str, per_s: int) -> None:
        """Counts within each whole second of the clock, when the limits are on."""
        if not self.settings.limits:
            return
        name, second = f"{provider}.{kind}", int(self.now_s())
        then, count = self._asked.get(name, (second, 0))
        count = count + 1 if then == second else 1
        self._asked[name] = second, count
        if count > per_s:
            message = f"The request failed because it exceeded {per_s} {kind} requests a second."
            raise Refusal("AccountRateLimitExceeded", message, retry_after_s=1)

    # --- the end of a job by somebody's hand ---

    def cancel(self, job: Job) -> None:
        if job.life is not None:
            job.life.cancel()
        self._move(job, "cancelled")
        if self._memory is not None:
            self._memory.drop(job)

    def forget(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        self._ended.pop(job.id, None)
        if self._memory is not None:
            self._memory.drop(job)

    async def stop(self) -> None:
        await self.tasks.stop()
        if self._memory is not None:
            self._memory.close()
