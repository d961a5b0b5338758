"""What was forgotten stays forgotten, and what is kept no more is not placed again."""

import pytest

from service.domain.errors import KeyReused
from service.flow.forget import forget_task
from service.store.tables import TABLES
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_nothing_that_is_said_about_a_forgotten_task_is_kept(world: World) -> None:
    task = await world.submit("a private thing")
    job = world.job(task)
    await world.callback("succeeded")
    await forget_task(world.parts, "default", task.id)
    late = {"content": {"video_url": "https://videos.test/private.mp4"}}
    assert await world.callback("succeeded", job, **late) == 200
    assert await world.callback("failed", job) == 200
    bodies = await world.rows("SELECT body FROM receipt WHERE body IS NOT NULL")
    assert not bodies
    after = await world.task(task.id)
    assert (after.reason, after.result) == ("forgotten", None)


async def test_a_key_whose_task_is_kept_no_more_places_nothing(world: World) -> None:
    placed = await world.order(key="old")
    await world.send()
    task = TABLES["task"]
    await world.db.write(lambda tx: tx.sql.execute(task.delete().where(task.c.id == placed.task.id)))
    with pytest.raises(KeyReused):
        await world.order(key="old")
    assert world.creates == 1
