"""An order at every gateway, from the caller's request to its ending."""

import asyncio
from typing import Any

import pytest

from service.domain.errors import Category
from tests.gateways.ground import Ground, all_of, at_each
from tests.gateways.subjects import ASKED, CALLED, SANDBOX, SUBJECTS, Subject

pytestmark = pytest.mark.anyio


async def test_an_order_ends_succeeded_at_every_gateway(ground: Ground) -> None:
    tasks = await at_each(SUBJECTS, lambda s: ground.ended(s, "a cat on a roof"))
    assert {label: task["state"] for label, task in tasks.items()} == all_of(SUBJECTS, "succeeded")
    assert {label: task["provider"] for label, task in tasks.items()} == {s.label: s.provider for s in SUBJECTS}

    videos = {label: await ground.fetch(task["result"]["video_url"]) for label, task in tasks.items()}
    assert {label: video.status_code for label, video in videos.items()} == all_of(SUBJECTS, 200)

    async def shape(subject: Subject) -> dict[str, Any]:
        result = tasks[subject.label]["result"]
        return {name: result[name] for name in ("ratio", "resolution", "duration")}

    told = [s for s in SUBJECTS if s.says_tokens]
    assert await at_each(told, shape) == all_of(told, {"ratio": "4:3", "resolution": "480p", "duration": 10})
    billed = {s.label: tasks[s.label]["usage"] for s in told}
    assert {label: usage["completion_tokens"] - usage["estimated_tokens"] for label, usage in billed.items()} == all_of(told, 0)


async def test_whoever_calls_back_is_never_asked(ground: Ground) -> None:
    async def see(subject: Subject) -> tuple[str, int]:
        timeline = await ground.timeline(await ground.ended(subject, "a cat that is called"))
        return timeline.ended_by, timeline.polls

    assert await at_each(CALLED, see) == all_of(CALLED, ("callback", 0))


async def test_whoever_does_not_call_back_is_asked(ground: Ground) -> None:
    async def see(subject: Subject) -> tuple[str, bool]:
        timeline = await ground.timeline(await ground.ended(subject, "a cat that is asked for"))
        return timeline.ended_by, timeline.polls > 0

    assert await at_each(ASKED, see) == all_of(ASKED, ("poll", True))


FAILURES = {
    "fail": Category.OUTPUT_MODERATION,
    "fail:InputImageSensitiveContentDetected.PrivacyInformation": Category.PRIVACY,
    "fail:InternalServiceError": Category.TRANSIENT,
    "fail:NobodyKnows": Category.UNKNOWN,
}


async def test_a_failure_has_the_same_category_at_every_gateway(ground: Ground) -> None:
    async def see(subject: Subject) -> dict[str, str]:
        tasks = await asyncio.gather(*(ground.ended(subject, f"a cat [{word}]") for word in FAILURES))
        assert {task["state"] for task in tasks} == {"failed"}
        return {word: task["error"]["category"] for word, task in zip(FAILURES, tasks, strict=True)}

    # At Ace Data Cloud every fault that no filter made is an `api_error`.
    expected = all_of(SUBJECTS, FAILURES) | {"acedata": FAILURES | {"fail:NobodyKnows": Category.TRANSIENT}}
    assert await at_each(SUBJECTS, see) == expected


async def test_what_a_filter_refused_keeps_the_code_that_a_gateway_wraps(ground: Ground) -> None:
    ace = next(s for s in SUBJECTS if s.label == "acedata")
    error = (await ground.ended(ace, "a cat in an envelope [fail]"))["error"]
    assert (error["code"], error["category"]) == ("forbidden", "output_moderation")
    assert error["message"].startswith("OutputVideoSensitiveContentDetected: ")


async def test_an_expired_order_is_told_in_each_gateways_own_way(ground: Ground) -> None:
    heard = [s for s in SUBJECTS if s.label != "pixazo"]  # its older API tells four words, and this is none of them
    tasks = await at_each(heard, lambda s: ground.ended(s, "a cat [expire]"))
    assert {label: (task["state"], task["error"]["category"]) for label, task in tasks.items()} == all_of(
        heard, ("expired", "expired")
    ) | {"acedata": ("failed", "transient"), "pixazo (v2)": ("failed", "unknown")}


async def test_without_any_gateway_the_sandbox_plays_one(sandboxed: Ground) -> None:
    task = await sandboxed.ended(SANDBOX, "a cat on a roof")
    timeline = await sandboxed.timeline(task)
    assert (task["state"], timeline.ended_by, timeline.polls) == ("succeeded", "callback", 0)


async def test_orders_go_the_same_way_on_postgres(on_postgres: Ground) -> None:
    some = [s for s in SUBJECTS if (s.provider, s.account) in on_postgres.parts.accounts.desks]

    async def see(subject: Subject) -> tuple[str, bool, str]:
        made = await on_postgres.ended(subject, "a cat on a roof")
        broken = await on_postgres.ended(subject, "a cat [fail]")
        return made["state"], (await on_postgres.timeline(made)).polls == 0, broken["error"]["category"]

    assert await at_each(some, see) == {s.label: ("succeeded", s.called, "output_moderation") for s in some}
    assert (await on_postgres.stats())["placed_twice"] == 0
