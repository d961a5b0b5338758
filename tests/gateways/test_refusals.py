"""When a gateway says no, or not now: what the caller is told, and that nothing was paid for."""

import asyncio
from dataclasses import replace

import pytest

from service.domain.errors import Category
from service.domain.order import Order
from service.domain.report import Rejected
from tests.gateways.ground import GROUPLESS, Ground, all_of, at_each
from tests.gateways.subjects import SUBJECTS, Subject

pytestmark = pytest.mark.anyio

Told = tuple[str, str, bool, list[str], int]
"""State, category, retryable, what became of the submissions, jobs that were placed."""


async def told(ground: Ground, subject: Subject, prompt: str) -> Told:
    task = await ground.ended(subject, prompt)
    error, timeline = task["error"], await ground.timeline(task)
    return task["state"], error["category"], error["retryable"], timeline.submissions, len(await ground.jobs(subject, prompt))


async def test_a_wrong_key_fails_the_order_as_the_operators_matter(refused: Ground) -> None:
    seen = await at_each(SUBJECTS, lambda s: told(refused, s, "a cat"))
    assert seen == all_of(SUBJECTS, ("failed", "credentials", False, ["rejected"], 0))


async def test_an_empty_account_fails_the_order_as_quota(poor: Ground) -> None:
    seen = await at_each(SUBJECTS, lambda s: told(poor, s, "a cat"))
    assert seen == all_of(SUBJECTS, ("failed", "quota", True, ["rejected"], 0))


async def test_a_key_without_the_group_that_serves_the_model_is_the_operators_matter(ground: Ground) -> None:
    apiyi = next(s for s in SUBJECTS if s.label == "apiyi")
    desk = ground.desk(apiyi)
    request = desk.gateway.submit(replace(desk.account, api_key=GROUPLESS), Order(apiyi.model, "a cat without a group"), None)
    match await ground.place(apiyi, request):
        case Rejected(error):
            assert error.category is Category.CREDENTIALS
            assert "no available channel" in error.message
        case other:
            raise AssertionError(other)


REFUSALS = {
    "reject": "input_moderation",
    "reject:InputImageSensitiveContentDetected.PrivacyInformation": "privacy",
    "reject:InvalidParameter": "parameters",
}


async def test_a_refused_order_fails_with_the_reason_and_places_nothing(ground: Ground) -> None:
    async def see(subject: Subject) -> dict[str, Told]:
        seen = await asyncio.gather(*(told(ground, subject, f"a cat [{word}]") for word in REFUSALS))
        return dict(zip(REFUSALS, seen, strict=True))

    def expected(categories: dict[str, str]) -> dict[str, Told]:
        return {word: ("failed", category, False, ["rejected"], 0) for word, category in categories.items()}

    # Ace Data Cloud says `forbidden` whatever filter it was.
    ace = dict(REFUSALS, **{"reject:InputImageSensitiveContentDetected.PrivacyInformation": "input_moderation"})
    assert await at_each(SUBJECTS, see) == all_of(SUBJECTS, expected(REFUSALS)) | {"acedata": expected(ace)}


async def test_a_busy_gateway_is_asked_again_and_paid_once(ground: Ground) -> None:
    async def see(subject: Subject) -> tuple[str, list[str], int]:
        task = await ground.ended(subject, "a cat in a crowd [429]")
        jobs = await ground.jobs(subject, "a cat in a crowd [429]")
        return task["state"], (await ground.timeline(task)).submissions, len(jobs)

    assert await at_each(SUBJECTS, see) == all_of(SUBJECTS, ("succeeded", ["busy", "accepted"], 1))


async def test_an_answer_of_500_is_no_answer_and_is_not_tried_again(ground: Ground) -> None:
    async def see(subject: Subject) -> tuple[str, str, list[str], list[str]]:
        task = await ground.order(subject, "a cat behind a wall [500]")
        timeline = await ground.timeline(task)
        return task["state"], task["reason"], timeline.submissions, timeline.events

    seen = await at_each(SUBJECTS, see)
    assert seen == all_of(SUBJECTS, ("created", "unknown_outcome", ["unknown"], ["submission.unknown"]))
