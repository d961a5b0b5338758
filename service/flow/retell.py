"""What somebody asks to be told: a test notice, or one delivery again."""

import orjson
from sqlalchemy import Connection

from service.domain import ids
from service.domain.due import Due
from service.domain.errors import Conflict, NotFound
from service.domain.instant import rfc3339
from service.domain.matching import TEST_EVENT
from service.domain.turn import Expected
from service.flow import subscribe
from service.flow.announce import Happening, announce_to_one
from service.flow.expect import expectations
from service.parts import Parts
from service.store import deliveries, lanes, outbox, subscriptions
from service.store.database import Tx


async def send_test(parts: Parts, app_id: str, subscription_id: int) -> tuple[int, Expected]:
    """A notice that says it is a test, through the same machinery as any other: the delivery's name, and when it is tried."""
    row = await subscribe.get(parts, app_id, subscription_id)
    if row.status != "active":
        raise Conflict(f"the subscription is {row.status}; resume it first")
    name = ids.encode(ids.SUBSCRIPTION, subscription_id)

    def act(tx: Tx) -> tuple[int, list[Due]]:
        data = {"subscription_id": name, "message": "A test notice from Callsheet: signature and address work."}
        body = orjson.dumps({"type": TEST_EVENT, "timestamp": rfc3339(tx.now), "data": data})
        made, in_hand = announce_to_one(tx, parts, Happening(app_id, TEST_EVENT, "own", body, only=subscription_id))
        if made is None:
            raise NotFound("there is no such subscription")
        return made, in_hand

    delivery_id, in_hand = await parts.db.write(act)
    parts.courier.put(in_hand)
    parts.happened.set()
    if in_hand:
        return delivery_id, Expected(in_hand[0].at)

    def look(sql: Connection) -> Expected | None:
        made = outbox.delivery(sql, app_id, delivery_id)
        return None if made is None else expectations(parts, sql, [made]).get(delivery_id)

    return delivery_id, await parts.db.read(look) or Expected(None)


async def resend(parts: Parts, app_id: str, delivery_id: int) -> None:
    """The same notice under the same name, now."""

    def act(tx: Tx) -> None:
        row = outbox.delivery(tx.sql, app_id, delivery_id)
        if row is None:
            raise NotFound("there is no such delivery")
        sub = subscriptions.by_id(tx.sql, app_id, row.subscription_id)
        if sub is None or sub.status != "active":
            raise Conflict("its subscription is not active; resume it first")
        deliveries.send_again(tx, app_id, delivery_id)
        lanes.touch(tx, {row.subscription_id: tx.now})

    await parts.db.write(act)
    parts.courier.bell.ring()
