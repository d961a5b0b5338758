"""Words in a prompt, as a client of the gateway meets them; and the same by chance."""

import asyncio
import random

import httpx
import pytest

from service.sandbox import SandboxSettings, wishes
from service.sandbox.wishes import WORDS, Wish
from tests.sandbox.conftest import KEY, Live, Start

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("word", WORDS)
def test_every_documented_word_is_understood_as_documented(word: str) -> None:
    said = WORDS[word].replace("CODE", "Some.Code").replace("SECONDS", "2").replace("N]", "3]")
    examples = [part.split("]")[0] + "]" for part in ("x" + said).split("[")[1:] for part in ["[" + part]]
    assert examples
    for example in examples:
        assert wishes.read(f"a cat {example}") != Wish(), example


def test_words_that_nobody_knows_are_ordinary_text() -> None:
    assert wishes.read("a cat [meow] [fail me] [FAIL] [word] [] [:x] [lose:") == Wish()


def test_counts_and_seconds_are_bounded_and_nonsense_falls_back() -> None:
    wish = wishes.read("[repeat:99999] [429:123456] [delay:999999] [answer:-1] [timeout:soon]", hang_s=9.0)
    assert (wish.repeat, wish.busy, wish.delay_s, wish.answer_s, wish.hang_s) == (50, 1_000, 3_600.0, 1.0, 9.0)


def test_chance_is_as_often_as_set_and_the_same_for_the_same_seed() -> None:
    settings = SandboxSettings(rates={"fail": 0.3})
    rolls = [[wishes.draw(Wish(), settings, rng).fail for _ in range(2_000)] for rng in (random.Random(1), random.Random(1))]
    assert rolls[0] == rolls[1]
    assert 500 < sum(code is not None for code in rolls[0]) < 700


def test_every_rate_can_be_set_and_nothing_else() -> None:
    for name in ("lose", "busy"):
        SandboxSettings(rates={name: 1.0})
    with pytest.raises(ValueError, match="lost, stuck"):
        SandboxSettings(rates={"lost": 0.5, "stuck": 1.5})
    with pytest.raises(ValueError, match="run_s"):
        SandboxSettings(run_s=-1.0)


@pytest.mark.parametrize(
    ("prompt", "code"),
    [("a cat [fail]", "OutputVideoSensitiveContentDetected"), ("a cat [fail:InternalServiceError]", "InternalServiceError")],
)
async def test_a_job_fails_with_the_code_it_was_told(live: Live, prompt: str, code: str) -> None:
    task = await live.ended(await live.placed(prompt))
    assert (task["status"], task["error"]["code"]) == ("failed", code)
    assert "content" not in task


async def test_a_job_expires(live: Live) -> None:
    assert (await live.ended(await live.placed("a cat [expire]")))["status"] == "expired"


async def test_a_strange_word_is_said_while_it_runs(live: Live) -> None:
    id = await live.placed("a cat [word:rendering] [stuck]", callback_url=live.hook)
    assert [body["status"] for body in await live.until_heard(2)] == ["queued", "rendering"]
    assert (await live.ask(id)).json()["status"] == "rendering"


async def test_a_slow_job_takes_longer(start: Start) -> None:
    live = await start(slow_factor=0.0, run_s=100.0, queue_s=100.0)
    await live.ended(await live.placed("a cat [slow]"))


async def test_a_forgotten_job_is_not_found_and_still_calls_back(live: Live) -> None:
    id = await live.placed("a cat [forget]", callback_url=live.hook)
    assert (await live.ask(id)).status_code == 404
    assert [body["id"] for body in await live.until_heard(3)] == [id] * 3


async def test_a_busy_gateway_takes_the_order_after_the_said_number_of_refusals(live: Live) -> None:
    answers = [await live.order("a cat [429:2]") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [429, 429, 200, 200]
    assert answers[0].headers["retry-after"] == "1"
    assert answers[0].json()["error"]["code"].startswith("RateLimitExceeded")
    assert (await live.order("a dog [429]")).status_code == 429


@pytest.mark.parametrize(
    ("word", "status", "code"),
    [
        ("[reject]", 400, "InputTextSensitiveContentDetected"),
        ("[reject:AccountOverdueError]", 403, "AccountOverdueError"),
        ("[reject:ModelNotOpen]", 404, "ModelNotOpen"),
        ("[reject:SetLimitExceeded]", 429, "SetLimitExceeded"),
        ("[500]", 500, "InternalServiceError"),
    ],
)
async def test_a_refused_order_places_nothing(live: Live, word: str, status: int, code: str) -> None:
    answer = await live.order(f"a cat {word}", callback_url=live.hook)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert live.sandbox.stats.placed_for(live.hook) == 0


async def test_an_error_may_hide_a_placed_job(live: Live) -> None:
    assert (await live.order("a cat [500:placed]", callback_url=live.hook)).status_code == 500
    assert (await live.until_heard(3))[-1]["status"] == "succeeded"
    assert live.sandbox.stats.placed_for(live.hook) == 1


async def test_silence_after_acceptance_ends_with_a_cut_connection_and_a_placed_job(live: Live) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await live.order("a cat [timeout:0.05]", callback_url=live.hook)
    assert (await live.until_heard(3))[-1]["status"] == "succeeded"


async def test_who_gives_up_on_a_silent_gateway_finds_the_job_in_the_list(live: Live) -> None:
    body = {"model": "seedance-2-0", "content": [{"type": "text", "text": "a cat [timeout]"}]}
    path = f"{live.base('ark')}/contents/generations/tasks"
    with pytest.raises(httpx.ReadTimeout):
        await live.http.post(path, json=body, headers=KEY, timeout=0.3)
    assert (await live.http.get(path, headers=KEY)).json()["total"] == 1


async def test_a_late_answer_is_overtaken_by_the_callbacks(live: Live) -> None:
    answer = asyncio.create_task(live.order("a cat [answer:0.3]", callback_url=live.hook))
    heard = await live.until_heard(3)
    assert not answer.done()
    assert (await answer).json()["id"] == heard[0]["id"]


async def test_chance_makes_every_kind_of_trouble(start: Start) -> None:
    live = await start(rates={"busy": 1.0})
    assert (await live.order("a cat")).status_code == 429
    live = await start(rates={"reject": 1.0})
    assert (await live.order("a cat")).status_code == 400
    live = await start(rates={"error": 1.0})
    assert (await live.order("a cat")).status_code == 500
    live = await start(rates={"lose": 1.0})
    await live.ended(await live.placed("a cat", callback_url=live.hook))
    assert await live.callbacks_settled() == {"ark": {"lost": 3}}
    live = await start(rates={"repeat": 1.0, "garble": 1.0})
    await live.ended(await live.placed("a cat", callback_url=live.hook))
    assert (await live.callbacks_settled())["ark"] == {"acknowledged": 6, "garbled": 6, "sent": 6}
