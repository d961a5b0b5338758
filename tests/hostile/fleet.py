"""Two processes over one database, half-way through a restart: one has the new settings and one the old ones.

The second is another set of parts on the world's own database: what a load balancer would call either of.
"""

from collections.abc import Sequence
from dataclasses import replace

import httpx

from service.bells import Tray
from service.domain.order import Order
from service.domain.task import Task
from service.flow import place
from service.flow.deliver import Addressees, deliver_due
from service.flow.submit import place_order
from service.parts import Parts
from service.signing import CallbackTokens, Seal
from service.web.guard import Guard
from service.web.site import site
from tests.world import ADMIN, ENCRYPTION, PRO, SIGNING, World


class Process:
    """One of them."""

    def __init__(
        self, world: World, signing: Sequence[str] = SIGNING, encryption: Sequence[str] = ENCRYPTION, admin: str = ADMIN
    ) -> None:
        self.world = world
        self.parts: Parts = replace(
            world.parts,
            tokens=CallbackTokens(signing, lambda: world.now),
            seal=Seal(encryption),
            courier=Tray(4_000),
            submitter=Tray(500),
        )
        self.parts.courier.open = self.parts.submitter.open = True
        self.addressees = Addressees()
        door = site(self.parts, Guard(self.parts, admin), world._ready)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="https://callsheet.test")

    async def submit(self, **fields: object) -> Task:
        placed = await place_order(self.parts, "default", Order.of({"model": PRO, "prompt": "a boat", **fields}), None)
        assert placed.task is not None
        for placement in self.parts.submitter.take(1_000) + await place.place_waiting(self.parts, 100):
            await place.send(self.parts, placement)
        return await self.world.task(placed.task.id)

    async def callback(self, url: str, body: bytes) -> int:
        return (await self.http.post(url, content=body)).status_code

    async def api(self, method: str, path: str, json: object = None, key: str = ADMIN) -> httpx.Response:
        return await self.http.request(method, path, json=json, headers={"Authorization": f"Bearer {key}"})

    async def deliver(self) -> None:
        while await deliver_due(self.parts, self.addressees):
            pass
