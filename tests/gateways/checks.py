"""What each column of the table stands for: one way in which a gateway has to work, or the reason why it cannot."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from service.domain.lifecycle import State
from service.providers.registry import batches
from tests.gateways.ground import Ground
from tests.gateways.subjects import Subject


@dataclass(frozen=True)
class Check:
    see: Callable[[Ground, Subject], Awaitable[None]]
    """Raises when the gateway does not do it."""
    lacking: Callable[[Subject], str | None] = lambda _: None
    """Why it is not offered."""


async def submits(ground: Ground, subject: Subject) -> None:
    """The order reaches the gateway once, under the id that the task has then."""
    task = await ground.order(subject, "a cat for the table")
    assert task["state"] in ("queued", "running", "succeeded"), task["reason"]
    assert [job["id"] for job in await ground.jobs(subject, "a cat for the table")] == [task["remote_id"]]


async def calls_back(ground: Ground, subject: Subject) -> None:
    """It tells the ending by itself, and nobody asks."""
    task = await ground.ended(subject, "a cat that calls back")
    timeline = await ground.timeline(task)
    assert (task["state"], timeline.ended_by, timeline.polls) == ("succeeded", "callback", 0)


async def is_asked(ground: Ground, subject: Subject) -> None:
    """It tells the ending when asked: because it never calls back, or because that callback came broken."""
    task = await ground.ended(subject, "a cat in pieces for the table [garble:succeeded]")
    timeline = await ground.timeline(task)
    assert (task["state"], timeline.ended_by) == ("succeeded", "poll")
    assert timeline.polls > 0


async def is_asked_about_many(ground: Ground, subject: Subject) -> None:
    """One question about several tasks; one that it does not know is left out."""
    desk, asked = ground.desk(subject), batches(ground.desk(subject).gateway)
    assert asked is not None
    waiting = await asyncio.gather(*(ground.order(subject, f"cat number {i} [stuck:queued]") for i in range(3)))
    ids = [task["remote_id"] for task in waiting]
    request = asked.query_many(desk.account, [*ids, "cgt-unknown"], False)
    reports = await ground.ask(subject, request, lambda reply: asked.read_many(reply, ground.parts.clock()))
    assert isinstance(reports, dict), reports
    # Ace Data Cloud does not tell queued from running.
    assert {id: report.state in (State.QUEUED, State.RUNNING) for id, report in reports.items()} == dict.fromkeys(ids, True)


async def fails(ground: Ground, subject: Subject) -> None:
    """A failure and a refusal, each with its category."""
    failed, refused = await asyncio.gather(
        ground.ended(subject, "a cat for the table [fail]"), ground.ended(subject, "a cat for the table [reject]")
    )
    assert (failed["state"], failed["error"]["category"]) == ("failed", "output_moderation")
    assert (refused["state"], refused["error"]["category"]) == ("failed", "input_moderation")


async def cancels(ground: Ground, subject: Subject) -> None:
    """What is queued will not run; what runs already says so, and runs on."""
    waits = await ground.order(subject, "a cat that waits [stuck:queued]")
    answer = await ground.http.post(f"/v1/tasks/{waits['id']}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled"), answer.text
    assert [job["status"] for job in await ground.jobs(subject, "a cat that waits [stuck:queued]")] == ["cancelled"]

    runs = await ground.order(subject, "a cat that runs [stuck:running]")
    await ground.until(runs["id"], lambda task: task["state"] == "running")
    answer = await ground.http.post(f"/v1/tasks/{runs['id']}/cancel")
    assert answer.status_code == 409, answer.text
    assert [job["status"] for job in await ground.jobs(subject, "a cat that runs [stuck:running]")] == ["running"]


COLUMNS: Mapping[str, Check] = {
    "submit": Check(submits),
    "callback": Check(calls_back, lambda s: None if s.called else "its documents promise none"),
    "query": Check(is_asked),
    "batch query": Check(
        is_asked_about_many, lambda s: None if s.facts.batch > 1 else "it documents no question about many tasks"
    ),
    "error": Check(fails),
    "cancel": Check(cancels, lambda s: None if s.facts.cancels else "it documents no way to cancel"),
}
