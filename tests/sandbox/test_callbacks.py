"""What reaches a callback URL: the documented limits, and every way of not arriving well."""

import pytest

from service.sandbox import digest
from tests.sandbox.conftest import Live, Start

pytestmark = pytest.mark.anyio


def statuses(live: Live) -> list[str]:
    return [body["status"] for body in live.heard]


async def test_an_ending_is_tried_three_times_and_other_words_once(live: Live) -> None:
    live.answers = [500] * 9
    await live.ended(await live.placed("a cat", callback_url=live.hook))
    counts = await live.callbacks_settled()
    assert statuses(live) == ["queued", "running", "succeeded", "succeeded", "succeeded"]
    assert counts["ark"] == {"sent": 5, "given_up": 3}


async def test_an_acknowledged_ending_is_not_told_again(live: Live) -> None:
    live.answers = [204, 204, 302]
    await live.ended(await live.placed("a cat [fail]", callback_url=live.hook))
    counts = await live.callbacks_settled()
    assert statuses(live) == ["queued", "running", "failed", "failed"], "a redirect is no acknowledgement"
    assert counts["ark"] == {"sent": 4, "acknowledged": 3}


async def test_an_answer_that_takes_too_long_counts_as_none(start: Start) -> None:
    live = await start(callback_timeout_s=0.1)
    live.answering.clear()
    await live.ended(await live.placed("a cat", callback_url=live.hook))
    counts = await live.callbacks_settled()
    live.answering.set()
    assert statuses(live) == ["queued", "running", "succeeded", "succeeded", "succeeded"]
    assert counts["ark"] == {"sent": 5, "given_up": 3}


async def test_nobody_at_the_callback_url_harms_nobody(live: Live) -> None:
    for url in ("http://127.0.0.1:1/x", "http://", "http://[::1", "https://127.0.0.1:1/"):
        id = await live.placed("a cat", callback_url=url)
        assert (await live.ended(id))["status"] == "succeeded"
    assert (await live.callbacks_settled())["ark"] == {"sent": 20, "given_up": 12}


async def test_lost_callbacks_are_lost_and_only_those(live: Live) -> None:
    await live.ended(await live.placed("a cat [lose:running]", callback_url=live.hook))
    counts = await live.callbacks_settled()
    assert statuses(live) == ["queued", "succeeded"]
    assert counts["ark"]["lost"] == 1
    await live.ended(await live.placed("a dog [lose]", callback_url=live.hook))
    await live.callbacks_settled()
    assert len(live.heard) == 2


async def test_repeated_callbacks_come_that_often(live: Live) -> None:
    await live.ended(await live.placed("a cat [repeat:3]", callback_url=live.hook))
    await live.callbacks_settled()
    assert statuses(live) == ["queued"] * 3 + ["running"] * 3 + ["succeeded"] * 3


async def test_reordered_callbacks_come_last_first_and_say_what_was_true_then(live: Live) -> None:
    await live.ended(await live.placed("a cat [reorder]", callback_url=live.hook))
    await live.callbacks_settled()
    assert statuses(live) == ["succeeded", "running", "queued"]
    assert "content" not in live.heard[1]


async def test_delayed_callbacks_come_after_the_job_has_ended(live: Live) -> None:
    id = await live.placed("a cat [delay:0.3]", callback_url=live.hook)
    await live.ended(id)
    assert live.heard == []
    assert [body["status"] for body in await live.until_heard(3)] == ["queued", "running", "succeeded"]


async def test_garbled_callbacks_hold_no_task(live: Live) -> None:
    id = await live.placed("a cat [garble:running]", callback_url=live.hook)
    await live.ended(id)
    await live.callbacks_settled()
    queued, running, succeeded = live.heard
    assert (queued["status"], succeeded["status"]) == ("queued", "succeeded")
    assert not (isinstance(running, dict) and running.get("id") == id)


@pytest.mark.parametrize("provider", ["agentsflare", "apiyi"])
async def test_gateways_that_promise_no_callbacks_send_none_unless_told_to(start: Start, provider: str) -> None:
    silent = await start()
    await silent.placed("a cat", provider, callback_url=silent.hook)
    told = await start(callbacks=frozenset({provider}))
    await told.placed("a cat", provider, callback_url=told.hook)
    assert [body["status"] for body in await told.until_heard(3)] == ["queued", "running", "succeeded"]
    assert await silent.callbacks_settled() == {}


async def test_the_counts_show_each_placed_job_by_its_callback_and_never_the_callback_itself(live: Live) -> None:
    for _ in range(2):
        await live.placed("a cat", callback_url=f"{live.hook}?token=secret")
    await live.placed("a dog", "sandbox", callback_url=live.hook)
    answer = await live.http.get(f"{live.root}/sandbox/stats")
    stats = answer.json()
    assert stats["requests"] == {"ark": {"create": 2}, "sandbox": {"create": 1}}
    assert stats["placed"] == {"ark": 2, "sandbox": 1}
    assert stats["placed_per_callback"] == {digest(f"{live.hook}?token=secret"): 2, digest(live.hook): 1}
    assert stats["placed_twice"] == 1
    jobs = (await live.http.get(f"{live.root}/sandbox/jobs")).json()["jobs"]
    assert [(job["provider"], job["prompt"]) for job in jobs] == [("ark", "a cat"), ("ark", "a cat"), ("sandbox", "a dog")]
    assert "secret" not in answer.text + str(jobs)
    await live.http.delete(f"{live.root}/sandbox/stats")
    assert (await live.http.get(f"{live.root}/sandbox/stats")).json()["placed_per_callback"] == {}


async def test_stopping_ends_everything_that_was_on_its_way(live: Live) -> None:
    await live.placed("a cat [stuck] [delay:60]", callback_url=live.hook)
    assert live.sandbox.calling
    await live.sandbox.stop()
    assert not live.sandbox.calling


async def test_no_log_line_holds_a_callback_url(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await live.ended(await live.placed("a cat", callback_url=f"{live.hook}?token=secret"))
    await live.callbacks_settled()
    assert "secret" not in caplog.text
