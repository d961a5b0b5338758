"""Subscriptions written straight into a bench's database."""

from service.channels.base import Target
from service.channels.registry import CHANNELS
from service.domain.matching import EVERY_TASK_EVENT
from service.signing import Seal, new_secret
from service.store import subscriptions
from service.store.database import Database, Tx
from tests.bench import ground


async def subscribed(db: Database, target: str, count: int, concurrency: int | None = None, app_id: str = "default") -> None:
    import orjson

    seal = Seal([ground.KEYS["CALLSHEET_ENCRYPTION_KEYS"]])

    def add(tx: Tx) -> None:
        rows = []
        for number in range(count):
            url = target.replace("{n}", str(number))
            sealed = seal.seal(orjson.dumps({"url": url, "secrets": [new_secret()], "headers": {}, "retiring": []}))
            rows.append(
                {
                    "id": tx.ids.new(),
                    "app_id": app_id,
                    "task_id": None,
                    "channel": "webhook",
                    "target": CHANNELS["webhook"].display(url),
                    "sealed": sealed,
                    "events": orjson.dumps(EVERY_TASK_EVENT).decode(),
                    "filter": "{}",
                    "options": "{}",
                    "rate": None,
                    "concurrency": concurrency,
                    "label": "",
                    "status": "active",
                    "reason": None,
                    "status_at": tx.now,
                    "failing_since": None,
                    "created_at": tx.now,
                    "version": 1,
                }
            )
        subscriptions.add(tx, rows)

    await db.write(add)


__all__ = ["Target", "subscribed"]
