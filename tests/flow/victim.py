"""A whole process that places one order and is killed before it hears the answer."""

import asyncio
import random

from service.accounts import Accounts, Desk
from service.app import prepare
from service.channels.registry import CHANNELS
from service.domain.admission import Caps
from service.domain.catalog import Catalog
from service.domain.ids import Ids
from service.domain.order import Order
from service.egress import Guard, Transport
from service.flow import place, submit
from service.parts import Parts
from service.providers.base import Account, Callbacks
from service.providers.registry import GATEWAYS
from service.signing import CallbackTokens, Seal
from service.store.database import inside_transaction
from service.store.sqlite import SQLite
from tests.world import ENCRYPTION, PRO, SIGNING


def desk(base_url: str, callbacks: str, mark: bool) -> Desk:
    options = {"mark_orders": "safety_identifier"} if mark else {}
    return Desk(Account("ark", "default", base_url, "key", Callbacks(callbacks), options), GATEWAYS["ark"], caps=Caps())


def place_one(path: str, at: int, base_url: str, callbacks: str, mark: bool, prompt: str) -> None:
    asyncio.run(_place(path, at, desk(base_url, callbacks, mark), prompt))


async def _place(path: str, at: int, to: Desk, prompt: str) -> None:
    clock = lambda: at  # noqa: E731 (a clock that stands still)
    db = SQLite(path, Ids(clock, random.Random().random), clock)
    await db.start()
    parts = Parts(
        db=db,
        clock=clock,
        random=random.random,
        transport=Transport(Guard((), http=True), forbidden=inside_transaction),
        tokens=CallbackTokens(SIGNING, clock),
        seal=Seal(ENCRYPTION),
        accounts=Accounts([to]),
        catalog=Catalog.default(),
        channels=CHANNELS,
        public_url="https://callsheet.test",
    )
    parts.submitter.open = True
    await prepare(parts)
    await submit.place_order(parts, "default", Order.of({"model": PRO, "prompt": prompt}), key=prompt)
    for placement in parts.submitter.take(10):
        await place.send(parts, placement)
