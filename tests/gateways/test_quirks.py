"""What one gateway does and no other: headers it insists on, labels that lie, tasks it hides, callbacks that were not promised."""

import asyncio

import httpx
import pytest

from service.domain.errors import Category
from service.domain.lifecycle import State
from service.domain.order import Order
from service.domain.report import Missing, Rejected, Report
from service.providers.registry import batches
from service.sandbox.settings import CALLING
from tests.gateways.ground import GOOD, Ground, all_of, at_each, open_ground
from tests.gateways.subjects import ASKED, SUBJECTS, Subject

pytestmark = pytest.mark.anyio

BY_LABEL = {subject.label: subject for subject in SUBJECTS}


@pytest.mark.parametrize("label", ["pixazo", "pixazo (v2)"])
async def test_pixazo_takes_no_order_without_cache_control_and_ours_have_it(ground: Ground, label: str) -> None:
    subject, prompt = BY_LABEL[label], "a cat without a header"
    desk = ground.desk(subject)
    request = desk.gateway.submit(desk.account, Order(subject.model, prompt), None)
    assert request.headers.pop("cache-control") == "no-cache"
    match await ground.place(subject, request):
        case Rejected(error):
            assert (error.category, "Cache-Control" in error.message) == (Category.PARAMETERS, True)
        case other:
            raise AssertionError(other)
    assert await ground.jobs(subject, prompt) == []


async def test_pixazos_questions_need_the_header_as_well(ground: Ground) -> None:
    subject = BY_LABEL["pixazo"]
    desk, task = ground.desk(subject), await ground.order(subject, "a cat that is asked for without a header")
    request = desk.gateway.query(desk.account, task["remote_id"])
    del request.headers["cache-control"]
    seen = await ground.ask(subject, request, lambda reply: reply)
    assert (seen.status, b"Cache-Control" in seen.body) == (400, True)


async def test_apiyis_plain_answers_that_are_labelled_gzip_are_read(ground: Ground) -> None:
    subject = BY_LABEL["apiyi"]
    desk, task = ground.desk(subject), await ground.ended(subject, "a cat behind a label")
    id = task["remote_id"]
    request = desk.gateway.query(desk.account, id)
    assert request.headers["accept-encoding"] == "identity"
    reply = await ground.ask(subject, request, lambda reply: reply)
    assert (reply.headers["content-encoding"], reply.body[:1]) == ("gzip", b"{")
    match desk.gateway.read_query(reply, id, ground.parts.clock()):
        case Report(state, remote_id=named):
            assert (state, named) == (State.SUCCEEDED, id)
        case other:
            raise AssertionError(other)
    with pytest.raises(httpx.DecodingError):  # as a client that believes the label
        await ground.http.get(str(request.url), headers={"Authorization": f"Bearer {GOOD}"})


@pytest.mark.parametrize("label", ["ark", "byteplus"])
async def test_arks_list_hides_flex_tasks_unless_they_are_asked_for(ground: Ground, label: str) -> None:
    subject = BY_LABEL[label]
    desk, asked = ground.desk(subject), batches(ground.desk(subject).gateway)
    assert asked is not None
    task = await ground.order(subject, "a cat with time [stuck:queued]", service_tier="flex")
    id = task["remote_id"]
    found = [
        await ground.ask(
            subject, asked.query_many(desk.account, [id], flex), lambda reply: asked.read_many(reply, ground.parts.clock())
        )
        for flex in (False, True)
    ]
    assert found[0] == {}
    assert found[1][id].state is State.QUEUED


async def test_a_task_that_a_gateway_does_not_know_is_missing_and_nothing_else(ground: Ground) -> None:
    async def see(subject: Subject) -> type:
        desk, id = ground.desk(subject), "cgt-20260101000000-nobod"
        outcome = await ground.ask(
            subject,
            desk.gateway.query(desk.account, id),
            lambda reply: desk.gateway.read_query(reply, id, ground.parts.clock()),
        )
        return type(outcome)

    assert await at_each(SUBJECTS, see) == all_of(SUBJECTS, Missing)


@pytest.mark.parametrize(("word", "flat"), [("flat", True), ("nested", False)])
async def test_both_shapes_of_ace_data_clouds_result_are_read(ground: Ground, word: str, flat: bool) -> None:
    task = await ground.ended(BY_LABEL["acedata"], f"a cat in a box [{word}]", return_last_frame=True)
    body = (await ground.timeline(task)).of("callback")[-1]["body"]
    assert ('"content"' not in body) is flat
    assert (await ground.fetch(task["result"]["video_url"])).content[4:8] == b"ftyp"
    assert (await ground.fetch(task["result"]["last_frame_url"])).content[:4] == b"\x89PNG"


async def test_where_no_cancel_is_documented_the_caller_is_told_and_the_task_runs_on(ground: Ground) -> None:
    without = [subject for subject in SUBJECTS if not subject.facts.cancels]

    async def see(subject: Subject) -> tuple[int, bool, str]:
        task = await ground.order(subject, "a cat that cannot be stopped [stuck:queued]")
        answer = await ground.http.post(f"/v1/tasks/{task['id']}/cancel")
        told = f"{subject.provider} documents no cancel" in answer.json()["detail"]
        return answer.status_code, told, (await ground.task(task["id"]))["state"]

    assert await at_each(without, see) == all_of(without, (409, True, "queued"))


async def test_many_tasks_whose_callbacks_broke_are_asked_about_together(tmp_path_factory: pytest.TempPathFactory) -> None:
    many = [BY_LABEL["ark"], BY_LABEL["acedata"]]
    async with open_ground(tmp_path_factory.mktemp("many"), subjects=many) as ground:

        async def see(subject: Subject) -> set[tuple[str, str]]:
            prompts = [f"cat {number} in pieces [garble:succeeded]" for number in range(MANY)]
            tasks = await asyncio.gather(*(ground.ended(subject, prompt) for prompt in prompts))
            return {(task["state"], (await ground.timeline(task)).ended_by) for task in tasks}

        assert await at_each(many, see) == all_of(many, {("succeeded", "poll")})
        requests = (await ground.stats())["requests"]
        questions = {s.label: sum(requests[s.provider].get(kind, 0) for kind in ("get", "list", "batch")) for s in many}
        assert all(count <= MANY / 2 for count in questions.values()), requests


MANY = 12
"""Orders at once."""


async def test_an_operator_who_knows_that_a_gateway_calls_back_spares_it_the_questions(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    known = [subject for subject in ASKED if subject.account == "default"]
    providers = {subject.provider for subject in known}
    home = tmp_path_factory.mktemp("told")
    async with open_ground(home, subjects=known, told="every", callbacks=CALLING | providers) as ground:

        async def see(subject: Subject) -> tuple[str, str, int]:
            task = await ground.ended(subject, "a cat that calls back after all")
            timeline = await ground.timeline(task)
            return task["state"], timeline.ended_by, timeline.polls

        assert await at_each(known, see) == all_of(known, ("succeeded", "callback", 0))


async def test_the_service_tells_what_is_verified_about_each_gateway_and_what_is_not(ground: Ground) -> None:
    data = (await ground.http.get("/v1/providers")).json()["data"]
    told = {(entry["provider"], entry["account"]): entry for entry in data}
    assert set(told) == {(subject.provider, subject.account) for subject in SUBJECTS}
    for subject in SUBJECTS:
        entry = told[subject.provider, subject.account]
        assert entry["callbacks"] == str(subject.callbacks)
        assert (tuple(entry["verified"]), tuple(entry["unverified"])) == (subject.facts.verified, subject.facts.unverified)
        assert entry["verified"]
        assert entry["unverified"]
