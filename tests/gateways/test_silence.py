"""Answers that get lost, and callbacks that come broken, early, late or often: one placement, and the truth in the end."""

import asyncio
from typing import Any

import pytest

from tests.gateways.ground import WITHIN_S, Ground, all_of, at_each
from tests.gateways.subjects import ASKED, CALLED, SUBJECTS, Subject

pytestmark = pytest.mark.anyio


LOST = ("[timeout:0.2]", "[500:placed]")
"""Placed, and then no answer, or one that says nothing."""


async def test_an_order_whose_answer_got_lost_is_healed_by_its_callback(ground: Ground) -> None:
    async def healed(subject: Subject, word: str) -> tuple[str, str, str, list[str], bool]:
        prompt = f"a cat in the fog {word} [delay:0.6]"
        before = await ground.order(subject, prompt)
        after = await ground.until(before["id"], lambda task: task["ended_at"] is not None)
        paid = [job["id"] for job in await ground.jobs(subject, prompt)]
        submissions = (await ground.timeline(after)).submissions
        return before["state"], before["reason"], after["state"], submissions, paid == [after["remote_id"]]

    async def see(subject: Subject) -> set[str]:
        return {str(seen) for seen in await asyncio.gather(*(healed(subject, word) for word in LOST))}

    expected = ("created", "unknown_outcome", "succeeded", ["accepted"], True)
    assert await at_each(CALLED, see) == all_of(CALLED, {str(expected)})


async def test_an_order_whose_answer_got_lost_where_nobody_calls_back_is_never_sent_again(ground: Ground) -> None:
    async def lost(subject: Subject, word: str) -> tuple[str, str, list[str], list[str]]:
        task = await ground.order(subject, f"a cat in the fog {word}")
        timeline = await ground.timeline(task)
        return task["state"], task["reason"], timeline.submissions, timeline.events

    async def see(subject: Subject) -> tuple[set[str], list[int]]:
        seen = await asyncio.gather(*(lost(subject, word) for word in LOST))
        await ground.ended(subject, "a cat that comes later")  # rounds of every loop have gone by when it is there
        placed = [len(await ground.jobs(subject, f"a cat in the fog {word}")) for word in LOST]
        return {str(each) for each in seen}, placed

    expected = ("created", "unknown_outcome", ["unknown"], ["submission.unknown"])
    assert await at_each(ASKED, see) == all_of(ASKED, ({str(expected)}, [1, 1]))


async def test_callbacks_that_overtake_the_answer_to_the_order_change_nothing(ground: Ground) -> None:
    async def see(subject: Subject) -> tuple[str, list[str], int]:
        task = await ground.ended(subject, "a cat that runs ahead [answer:0.5]")
        timeline = await ground.timeline(task)
        return task["state"], timeline.submissions, timeline.polls

    assert await at_each(CALLED, see) == all_of(CALLED, ("succeeded", ["accepted"], 0))


async def test_callbacks_that_nobody_can_read_are_kept_and_make_us_ask(ground: Ground) -> None:
    async def see(subject: Subject) -> tuple[str, str, bool]:
        task = await ground.ended(subject, "a cat in pieces [garble:succeeded]")
        timeline = await ground.timeline(task)
        return task["state"], timeline.ended_by, timeline.of("callback")[-1]["verdict"] == "unreadable"

    assert await at_each(CALLED, see) == all_of(CALLED, ("succeeded", "poll", True))


async def test_callbacks_again_and_again_and_backwards_are_one_ending(ground: Ground) -> None:
    async def see(subject: Subject) -> tuple[str, bool, list[int], int]:
        task = await ground.ended(subject, "a cat in an echo [repeat:4] [reorder]")
        timeline = await ground.timeline(task)
        numbers = [entry["sequence"] for entry in timeline.of("transition")]
        return task["state"], "callback.conflict" in timeline.events, numbers, timeline.polls

    assert await at_each(CALLED, see) == all_of(CALLED, ("succeeded", False, [1, 2], 0))


async def test_a_word_that_nobody_knows_is_shown_to_the_operator_and_changes_nothing(ground: Ground) -> None:
    async def see(subject: Subject) -> tuple[str, list[str]]:
        task = await ground.ended(subject, "a strange cat [word:DREAMING]")
        timeline = await ground.timeline(task)
        return task["state"], timeline.events

    every = [s for s in CALLED if s.label != "acedata"]  # tells endings alone
    assert await at_each(every, see) == all_of(every, ("succeeded", ["provider.unknown_status"]))


async def test_a_strange_word_in_an_answer_is_shown_once_and_asked_about_again(ground: Ground) -> None:
    async def see(subject: Subject) -> tuple[str, list[str], bool]:
        task = await ground.order(subject, "a cat that stays strange [stuck] [word:SLUMBERING]")
        async with asyncio.timeout(WITHIN_S):
            while not (timeline := await ground.timeline(task)).events:
                await ground.ended(subject, "a cat that passes by")
        return (await ground.task(task["id"]))["state"], timeline.events, timeline.next_look_at is not None

    expected = ("queued", ["provider.unknown_status"], True)
    assert await at_each(ASKED, see) == all_of(ASKED, expected)


async def test_in_all_this_no_order_was_placed_twice(ground: Ground) -> None:
    stats = await ground.stats()
    assert stats["placed_twice"] == 0
    assert {s.provider for s in SUBJECTS} <= set(stats["placed"])


async def test_a_hundred_orders_without_an_answer_are_placed_once_each_and_healed_or_flagged(ground: Ground) -> None:
    """Over real HTTP: the gateway takes the order and closes the connection. With callbacks each is healed by its own; where
    nobody calls back and nothing can be listed each is flagged. None is ever sent again."""
    heard = next(s for s in CALLED if s.provider == "ark")
    deaf = next(s for s in ASKED if s.provider == "agentsflare")
    words = "[timeout:0.1] [delay:0.5]"
    before = (await ground.stats())["placed_twice"]

    turns = asyncio.Semaphore(20)  # the tests' own client loses its way with hundreds of requests at once

    async def one(subject: Subject, number: int) -> dict[str, Any]:
        async with turns:
            return await ground.order(subject, f"cat {number} {words}")

    async def end(task: dict[str, Any]) -> dict[str, Any]:
        async with turns:
            return await ground.until(task["id"], lambda t: t["ended_at"] is not None)

    placed = await asyncio.gather(*(one(heard, n) for n in range(100)), *(one(deaf, n) for n in range(100)))
    healed = await asyncio.gather(*(end(task) for task in placed[:100]))
    assert {task["state"] for task in healed} == {"succeeded"}
    assert len({task["remote_id"] for task in healed}) == 100
    flagged = [await ground.task(task["id"]) for task in placed[100:]]
    assert {(task["state"], task["reason"]) for task in flagged} == {("created", "unknown_outcome")}
    paid = (await ground.http.get(f"{ground.outside}/sandbox/jobs")).json()["jobs"]
    for subject in (heard, deaf):
        assert len([job for job in paid if job["provider"] == subject.provider and words in job["prompt"]]) == 100
    assert (await ground.stats())["placed_twice"] == before
