"""The reconciler: claims stale tasks and asks each account on its own, so that a slow one holds up nobody."""

import asyncio
import logging

from service.flow import reconcile
from service.flow.reconcile import Questions
from service.parts import Parts

log = logging.getLogger("callsheet.reconciler")


class Reconciler:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}

    def under_way(self) -> list[asyncio.Task[None]]:
        return list(self._asking.values())

    async def round(self) -> bool:
        count, questions = await reconcile.claim(self._parts)
        for q in questions:
            if (q.provider, q.account) not in self._asking:  # else its tasks keep their lease and come again
                task = asyncio.create_task(self._asked(q), name=f"ask {q.provider}")
                self._asking[q.provider, q.account] = task
        return count >= reconcile.CLAIM

    async def _asked(self, questions: Questions) -> None:
        try:
            await reconcile.ask(self._parts, questions)
        except Exception as error:
            log.error("reconciler.ask_failed", exc_info=error)
        finally:
            del self._asking[questions.provider, questions.account]
