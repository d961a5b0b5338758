"""One job of the simulated world, as every dialect reads it; and the background work that moves jobs on."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from service.sandbox.asks import Ask
from service.sandbox.families import FPS, size, tokens
from service.sandbox.wishes import Wish

VIDEO_S = 86_400
ENDINGS = frozenset({"succeeded", "failed", "expired", "cancelled"})


class Tasks:
    """Background work that can be stopped. Its owners bound it: one per live job, and the herald's own limit."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def running(self) -> frozenset[asyncio.Task[None]]:
        return frozenset(self._running)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def stop(self) -> None:
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@dataclass(slots=True)
class Job:
    id: str
    """The gateway's name for it."""
    upstream_id: str
    """Ark's name for it; the same where the gateway has none of its own."""
    number: int
    provider: str
    ask: Ask
    wish: Wish
    created_s: float
    updated_s: float
    seed: int
    root_url: str
    status: str = "queued"
    error: dict[str, str] | None = None
    ended_s: float | None = None
    life: asyncio.Task[None] | None = None
    telling: asyncio.Task[None] | None = None
    """The last callback on its way; the next one waits for it."""
    held: list[tuple[str, bytes]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def word(self) -> str:
        """The status as it is said."""
        return self.wish.word if self.wish.word is not None and self.status == "running" else self.status

    @property
    def over(self) -> bool:
        return self.status in ENDINGS

    @property
    def tokens(self) -> int:
        ask = self.ask
        frames = FPS * ask.duration + 1 if ask.frames is None else ask.frames
        return tokens(*size(ask.family, ask.resolution, ask.ratio), frames)

    def media_url(self, suffix: str) -> str:
        return (
            f"{self.root_url}/videos/{self.provider}/{self.id}.{suffix}?X-Tos-Expires={VIDEO_S}&X-Tos-Signature={self.seed:08x}"
        )
