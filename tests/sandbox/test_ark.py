"""Ark's dialect over real HTTP."""

import pytest

from tests.sandbox.conftest import KEY, PRO, Clock, Live, Start

pytestmark = pytest.mark.anyio

DAY_S = 86_400


async def test_an_order_is_queued_then_runs_then_succeeds(start: Start) -> None:
    live = await start(queue_s=0.05, run_s=0.05)
    id = await live.placed("a cat", callback_url=live.hook)
    assert (await live.ask(id)).json()["status"] == "queued"
    task = await live.ended(id)
    assert task["status"] == "succeeded"
    assert [body["status"] for body in await live.until_heard(3)] == ["queued", "running", "succeeded"]
    assert live.heard[-1] == task


async def test_a_success_shows_the_effective_parameters_and_the_billed_tokens(live: Live) -> None:
    task = await live.ended(await live.placed("a cat", resolution="1080p", ratio="16:9", duration=6, seed=44457))
    assert task.pop("content")["video_url"].startswith(live.root)
    assert task == {
        "id": task["id"],
        "model": PRO,
        "status": "succeeded",
        "created_at": 1_800_000_000,
        "updated_at": 1_800_000_000,
        "usage": {"completion_tokens": 295800, "total_tokens": 295800},
        "seed": 44457,
        "resolution": "1080p",
        "ratio": "16:9",
        "duration": 6,
        "framespersecond": 24,
        "draft": False,
        "service_tier": "default",
        "execution_expires_after": 172800,
        "priority": 0,
        "output_format": "mp4",
    }


async def test_explicit_nulls_are_accepted(live: Live) -> None:
    task = await live.ended(await live.placed("a cat", seed=None, ratio=None, service_tier=None, tools=None, callback_url=None))
    assert task["status"] == "succeeded"


async def test_frames_are_shown_in_place_of_a_duration(live: Live) -> None:
    task = await live.ended(await live.placed("a cat", frames=49, duration=9, resolution="480p"))
    assert task["frames"] == 49
    assert "duration" not in task
    assert task["usage"]["total_tokens"] == 864 * 480 * 49 // 1024


async def test_flags_in_the_text_count_unless_the_body_says_otherwise(live: Live) -> None:
    task = await live.ended(await live.placed("a cat --rs 480p --dur 7 --ratio 5:5 --seed 9", duration=3))
    assert (task["resolution"], task["duration"], task["ratio"], task["seed"]) == ("480p", 3, "16:9", 9)


async def test_a_video_is_there_for_a_day_and_refuses_an_authorization(live: Live, clock: Clock) -> None:
    task = await live.ended(await live.placed("a cat", return_last_frame=True))
    url, frame = task["content"]["video_url"], task["content"]["last_frame_url"]
    video = await live.http.get(url)
    assert (video.status_code, video.headers["content-type"]) == (200, "video/mp4")
    assert video.content[4:8] == b"ftyp"
    assert (await live.http.get(frame)).headers["content-type"] == "image/png"
    assert (await live.http.get(url, headers=KEY)).status_code == 400
    assert (await live.http.get(url.replace("Signature=", "Signature=0"))).status_code == 403
    clock.now_s += DAY_S
    assert (await live.http.get(url)).status_code == 403


async def test_a_record_lives_seven_days(live: Live, clock: Clock) -> None:
    id = await live.placed("a cat")
    await live.ended(id)
    clock.now_s += 7 * DAY_S - 1
    assert (await live.ask(id)).status_code == 200
    clock.now_s += 1
    assert (await live.ask(id)).status_code == 404


async def test_a_queued_task_is_cancelled_and_its_record_lives_one_more_day(live: Live, clock: Clock) -> None:
    id = await live.placed("a cat [stuck:queued]", callback_url=live.hook)
    path = f"{live.base('ark')}/contents/generations/tasks/{id}"
    answer = await live.http.delete(path, headers=KEY)
    assert (answer.status_code, answer.json()) == (200, {})
    assert (await live.ask(id)).json()["status"] == "cancelled"
    assert (await live.http.delete(path, headers=KEY)).status_code == 403
    assert (await live.callbacks_settled())["ark"]["sent"] == 1, "cancelled is not among the documented callbacks"
    clock.now_s += DAY_S
    assert (await live.ask(id)).status_code == 404


async def test_a_running_task_cannot_be_deleted(live: Live) -> None:
    id = await live.placed("a cat [stuck]", callback_url=live.hook)
    await live.until_heard(2)
    answer = await live.http.delete(f"{live.base('ark')}/contents/generations/tasks/{id}", headers=KEY)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "InvalidAction.RunningTaskDeletion"


async def test_deleting_an_ended_task_deletes_its_record(live: Live) -> None:
    id = await live.placed("a cat")
    await live.ended(id)
    assert (await live.http.delete(f"{live.base('ark')}/contents/generations/tasks/{id}", headers=KEY)).json() == {}
    missing = await live.ask(id)
    assert (missing.status_code, missing.headers["x-error-code"]) == (404, "ResourceNotFound")


async def test_there_is_no_cancel_route_such_a_post_lands_in_create(live: Live) -> None:
    answer = await live.http.post(f"{live.base('ark')}/contents/generations/tasks/cgt-1/cancel", headers=KEY, json={})
    assert answer.json()["error"]["code"] == "MissingParameter"


async def list_ids(live: Live, query: str) -> tuple[int, list[str]]:
    answer = (await live.http.get(f"{live.base('ark')}/contents/generations/tasks?{query}", headers=KEY)).json()
    return answer["total"], [item["id"] for item in answer["items"]]


async def test_the_list_is_filtered_and_paged_and_hides_flex(live: Live) -> None:
    first, second = await live.placed("one [stuck:queued]"), await live.placed("two")
    failed = await live.placed("three [fail]", model="seedance-1-0-pro-fast-251015")
    flex = await live.placed("four", service_tier="flex")
    for id in (second, failed, flex):
        await live.ended(id)
    await live.placed("elsewhere", provider="byteplus")
    assert await list_ids(live, "") == (3, [failed, second, first])
    assert await list_ids(live, "page_num=2&page_size=2") == (3, [first])
    assert await list_ids(live, "filter.status=failed") == (1, [failed])
    assert await list_ids(live, f"filter.model={PRO}") == (2, [second, first])
    assert await list_ids(live, f"filter.task_ids={first}&filter.task_ids={failed}&filter.task_ids={flex}") == (
        2,
        [failed, first],
    )
    assert await list_ids(live, f"filter.service_tier=flex&filter.task_ids={first}&filter.task_ids={flex}") == (1, [flex])


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("page_num=0", "page_num"),
        ("page_size=501", "page_size"),
        ("page_size=x", "page_size"),
        ("filter.status=expired", "filter.status"),
        ("filter.service_tier=fast", "filter.service_tier"),
        ("filter.task_id=a", "filter.task_id"),
    ],
)
async def test_a_wrong_filter_is_named(live: Live, query: str, param: str) -> None:
    answer = await live.http.get(f"{live.base('ark')}/contents/generations/tasks?{query}", headers=KEY)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer bad-key"}, {"Authorization": "Basic k"}])
async def test_a_missing_or_refused_key_gets_arks_401(live: Live, headers: dict[str, str]) -> None:
    answer = await live.http.get(f"{live.base('ark')}/contents/generations/tasks/x", headers=headers)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["code"], error["param"], error["type"]) == ("AuthenticationError", "", "Unauthorized")
    assert answer.headers["x-error-code"] == "AuthenticationError"
    assert answer.headers["x-request-id"] in error["message"]


async def test_an_account_without_money_is_refused(live: Live) -> None:
    answer = await live.http.get(
        f"{live.base('ark')}/contents/generations/tasks/x", headers={"Authorization": "Bearer poor-key"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "AccountOverdueError")


async def test_limits_on_questions_hold_only_when_switched_on(start: Start) -> None:
    free, strict = await start(), await start(limits=True)
    path = "contents/generations/tasks"
    for _ in range(3):
        assert (await free.http.get(f"{free.base('ark')}/{path}", headers=KEY)).status_code == 200
    answers = [(await strict.http.get(f"{strict.base('ark')}/{path}", headers=KEY)).status_code for _ in range(2)]
    assert answers == [200, 429]
    id = await strict.placed("a cat")
    assert [(await strict.ask(id)).status_code for _ in range(21)] == [200] * 20 + [429]
    assert (await strict.ask(id)).headers["retry-after"] == "1"


async def test_a_full_world_drops_the_oldest_ended_job_and_refuses_when_none_has_ended(start: Start) -> None:
    live = await start(jobs=2)
    ended = await live.placed("one")
    await live.ended(ended)
    await live.placed("two [stuck]")
    await live.placed("three [stuck]")
    assert (await live.ask(ended)).status_code == 404
    answer = await live.order("four")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "QuotaExceeded")
