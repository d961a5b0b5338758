"""What callers send is held in memory within a bound, whoever sends it."""

import pytest

from service.web import bodies
from service.web.bodies import SMALL
from tests.world import ADMIN, PRO, World

pytestmark = pytest.mark.anyio
AS_ADMIN = {"Authorization": f"Bearer {ADMIN}"}


async def test_more_than_the_memory_holds_comes_again_and_the_rest_is_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.submit()
    monkeypatch.setattr(bodies, "LIMIT", 2 * SMALL)
    large, small = {"model": PRO, "prompt": "a cat" * SMALL}, {"model": PRO, "prompt": "a cat"}
    order = await world.http.post("/v1/tasks", json=large, headers=AS_ADMIN)
    assert (order.status_code, order.headers["retry-after"]) == (503, "1")
    assert await world.callback("running", padding="x" * 3 * SMALL) == 503
    for _ in range(3):
        assert await world.callback("running", padding="x" * int(1.5 * SMALL)) == 200, "what was refused is held no more"
    small_one = await world.http.post("/v1/tasks?dry_run=true", json=small, headers=AS_ADMIN)
    assert small_one.status_code == 200
