"""The gateways that do not speak as Ark does: paths, headers, errors, envelopes."""

from typing import Any

import httpx
import orjson
import pytest

from tests.sandbox.conftest import KEY, Live, Start

pytestmark = pytest.mark.anyio

DOUBAO = "doubao-seedance-1-0-pro-250528"


def text(prompt: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": prompt}]


# --- APIYI, AgentsFlare ---


async def test_apiyi_labels_plain_bodies_as_gzip(live: Live) -> None:
    id = await live.placed("a cat", "apiyi", model="doubao-seedance-2-0-fast-260128", resolution="720p", ratio="16:9")
    assert live.label == "gzip"
    task = await live.ended(id, "apiyi")
    assert live.label == "gzip"
    assert task["usage"] == {"completion_tokens": 108900, "total_tokens": 108900}
    with pytest.raises(httpx.DecodingError):
        await live.http.get(
            f"{live.base('apiyi')}/contents/generations/tasks/{id}", headers={**KEY, "Accept-Encoding": "identity"}
        )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"frames": 49}, "frames"),
        ({"camera_fixed": False}, "camera_fixed"),
        ({"service_tier": "default"}, "service_tier"),
        ({"model": "ep-1"}, "model"),
        ({"resolution": "4k"}, "resolution"),
    ],
)
async def test_apiyi_refuses_what_it_does_not_offer(live: Live, fields: dict[str, Any], param: str) -> None:
    answer = await live.order("a cat", "apiyi", **fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_apiyi_needs_a_key_of_the_right_group(live: Live) -> None:
    url = f"{live.base('apiyi')}/contents/generations/tasks"
    answer = await live.send("POST", url, json={}, headers={"Authorization": "Bearer nogroup-key"})
    assert "no available channel" in answer.json()["error"]["message"]


@pytest.mark.parametrize("provider", ["apiyi", "agentsflare"])
async def test_what_a_gateway_does_not_document_is_not_there(live: Live, provider: str) -> None:
    path = f"{live.base(provider)}/contents/generations/tasks"
    assert (await live.http.get(path, headers=KEY)).status_code == 405
    assert (await live.http.delete(f"{path}/cgt-1", headers=KEY)).status_code == 405


async def test_no_gateway_knows_the_jobs_of_another(live: Live) -> None:
    id = await live.placed("a cat", "agentsflare")
    assert (await live.ask(id, "agentsflare")).status_code == 200
    assert (await live.ask(id, "byteplus")).status_code == 404


# --- Ace Data Cloud ---


async def ace(live: Live, path: str, body: dict[str, Any], headers: dict[str, str] = KEY) -> httpx.Response:
    return await live.http.post(f"{live.base('acedata')}/seedance/{path}", json=body, headers=headers)


async def ace_ended(live: Live, prompt: str, **fields: Any) -> dict[str, Any]:
    """The record once the job ended."""
    body = {"model": DOUBAO, "content": text(prompt), "async": True, **fields}
    accepted = (await ace(live, "videos", body)).json()
    assert set(accepted) == {"task_id"}
    job = live.sandbox.world.find("acedata", accepted["task_id"])
    assert job is not None
    await job.ended.wait()
    record: dict[str, Any] = (await ace(live, "tasks", {"id": job.id, "action": "retrieve"})).json()
    return record


async def test_acedata_wraps_a_success_in_two_shapes(live: Live) -> None:
    flat, nested = [(await ace_ended(live, prompt))["response"] for prompt in ("a cat [flat]", "a cat [nested]")]
    assert flat["success"] is nested["success"] is True
    assert {"task_id", "status", "video_url"} <= set(flat["data"])
    assert flat["data"]["task_id"].startswith("cgt-")
    assert flat["task_id"] != flat["data"]["task_id"]
    assert nested["data"]["content"]["video_url"].startswith(live.root)


async def test_acedata_calls_back_once_with_the_ending_alone(live: Live) -> None:
    record = await ace_ended(live, "a cat", callback_url=live.hook)
    await live.callbacks_settled()
    assert live.heard == [record["response"]]


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("[fail]", "forbidden"),
        ("[fail:api_error]", "api_error"),
        ("[fail:InternalServiceError]", "api_error"),
        ("[expire]", "timeout"),
    ],
)
async def test_acedata_says_a_failure_in_its_own_words(live: Live, word: str, code: str) -> None:
    response = (await ace_ended(live, f"a cat {word}"))["response"]
    assert (response["success"], response["error"]["code"]) == (False, code)
    assert "data" not in response


async def test_acedata_holds_the_answer_when_neither_async_nor_a_callback_was_asked_for(live: Live) -> None:
    answer = (await ace(live, "videos", {"model": DOUBAO, "content": text("a cat [nested]")})).json()
    assert answer["data"]["status"] == "succeeded"


async def test_acedata_knows_many_tasks_at_once_and_leaves_out_what_it_does_not_know(live: Live) -> None:
    done = await ace_ended(live, "a cat")
    pending = (await ace(live, "videos", {"model": DOUBAO, "content": text("a dog [stuck]"), "async": True})).json()["task_id"]
    batch = (await ace(live, "tasks", {"ids": [done["id"], pending, "unknown"], "action": "retrieve_batch"})).json()
    assert batch["count"] == 2
    assert batch["items"][0] == done
    assert "response" not in batch["items"][1]
    assert (await ace(live, "tasks", {"ids": ["x"] * 51, "action": "retrieve_batch"})).status_code == 400
    assert live.sandbox.stats.view()["requests"]["acedata"] == {"batch": 2, "create": 2, "get": 1, "refused": 1}


async def test_acedata_answers_an_unknown_id_with_an_empty_object(live: Live) -> None:
    answer = await ace(live, "tasks", {"id": "unknown", "action": "retrieve"})
    assert (answer.status_code, answer.json()) == (200, {})


async def test_acedata_has_audio_off_unless_asked_for(live: Live) -> None:
    model = "doubao-seedance-1-5-pro-251215"
    silent = await ace_ended(live, "a cat [nested]", model=model)
    loud = await ace_ended(live, "a cat [nested]", model=model, generate_audio=True)
    assert [record["response"]["data"]["generate_audio"] for record in (silent, loud)] == [False, True]


@pytest.mark.parametrize(
    "fields",
    [
        {"camera_fixed": True},
        {"camerafixed": None},
        {"frames": 49, "duration": 5},
        {"async": "yes"},
        {"content": [{"type": "text", "text": "x" * 1001}]},
        {"content": [{"type": "image_url", "image_url": "https://x/y.png"}]},
        {"content": [{"type": "text", "text": "a", "image_url": {"url": "https://x/y.png"}}]},
        {"content": [{"type": "text", "text": "a", "mood": "happy"}]},
        {"content": "a cat"},
        {"content": ["a cat"]},
    ],
)
async def test_acedata_refuses_what_is_not_in_its_own_words(live: Live, fields: dict[str, Any]) -> None:
    answer = await ace(live, "videos", {"model": DOUBAO, "content": text("a cat"), "async": True, **fields})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_request"
    assert set(answer.json()) == {"error", "trace_id"}


@pytest.mark.parametrize(
    ("prompt", "headers", "status", "code"),
    [
        ("a cat", {}, 400, "no_token"),
        ("a cat", {"Authorization": "Bearer bad-key"}, 401, "invalid_token"),
        ("a cat", {"Authorization": "Bearer poor-key"}, 403, "used_up"),
        ("a cat [reject]", KEY, 403, "forbidden"),
        ("a cat [429]", KEY, 429, "too_many_requests"),
        ("a cat [500]", KEY, 500, "api_error"),
    ],
)
async def test_acedata_names_errors_its_own_way(
    live: Live, prompt: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await ace(live, "videos", {"model": DOUBAO, "content": text(prompt), "async": True}, headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


# --- YEScale ---


async def yescale(live: Live, prompt: str, **fields: Any) -> httpx.Response:
    body = {"model": DOUBAO, "content": text(prompt), **fields}
    return await live.http.post(f"{live.base('yescale')}/seedance/generations", json=body, headers=KEY)


async def test_yescale_reads_its_parameters_from_the_text(live: Live) -> None:
    accepted = (await yescale(live, "a girl --resolution 480p --duration 5")).json()
    assert accepted["message"] == "YEScale - Seedance Video Generation - Submit"
    job = live.sandbox.world.find("yescale", accepted["id"])
    assert job is not None
    await job.ended.wait()
    task = (await live.http.get(f"{live.base('yescale')}/seedance/generations/{job.id}", headers=KEY)).json()
    assert (task["status"], task["usage"]["completion_tokens"]) == ("succeeded", 49005)
    assert task["request"] == {"model": DOUBAO, "content": text("a girl --resolution 480p --duration 5")}


@pytest.mark.parametrize("ratio", ["9:21", "keep_ratio", "adaptive", "16:9"])
async def test_yescale_knows_ratios_of_its_own(live: Live, ratio: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x.example/y.png"}}
    answer = await yescale(live, "", content=[*text(f"a cat --ratio {ratio}"), picture])
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("flag", ["--duration 6", "--dur 4", "--resolution 720p", "--ratio 5:5", "--camerafixed yes"])
async def test_yescale_checks_its_flags(live: Live, flag: str) -> None:
    answer = await yescale(live, f"a cat {flag}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("--")


async def test_yescale_takes_no_structured_parameters(live: Live) -> None:
    assert (await yescale(live, "a cat", duration=5)).json()["error"]["param"] == "duration"


async def test_yescale_keeps_silent_although_it_takes_a_callback_url(live: Live) -> None:
    assert (await yescale(live, "a cat", callback_url=live.hook)).status_code == 200
    assert await live.callbacks_settled() == {}


# --- Pixazo ---

PIXAZO = {"Cache-Control": "no-cache", "Ocp-Apim-Subscription-Key": "k-test"}


async def pixazo(live: Live, path: str, body: dict[str, Any], headers: dict[str, str] = PIXAZO) -> httpx.Response:
    return await live.http.post(f"{live.base('pixazo')}/{path}", json=body, headers=headers)


async def pixazo_result(live: Live, id: str) -> dict[str, Any]:
    job = live.sandbox.world.find("pixazo", id)
    assert job is not None
    await job.ended.wait()
    task: dict[str, Any] = (await pixazo(live, "bytedance-polling/getVideoResult", {"task_id": id})).json()
    return task


@pytest.mark.parametrize("style", ["text", "content"])
async def test_pixazo_takes_text_or_content_and_is_asked_by_post(live: Live, style: str) -> None:
    prompt = "a daisy --ratio 16:9 --resolution 720p --duration 5 --camerafixed false"
    body = {"text": prompt} if style == "text" else {"content": text(prompt)}
    accepted = (await pixazo(live, "byteplus/v1/generateVideoTask", body)).json()
    task = await pixazo_result(live, accepted["id"])
    assert (task["status"], task["usage"]["completion_tokens"]) == ("succeeded", 103818)


async def test_pixazo_calls_back_as_ark_does_but_never_about_expiry(live: Live) -> None:
    id = (await pixazo(live, "byteplus/v1/generateVideoTask", {"text": "a cat [expire]", "callback_url": live.hook})).json()[
        "id"
    ]
    assert (await pixazo_result(live, id))["status"] == "expired"
    await live.callbacks_settled()
    assert [body["status"] for body in live.heard] == ["queued", "running"]


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"Cache-Control": ""}, 400, "Cache-Control"),
        ({"Content-Type": "text/plain"}, 400, "Content-Type"),
        ({"Ocp-Apim-Subscription-Key": ""}, 401, "Invalid or missing authentication"),
        ({"Ocp-Apim-Subscription-Key": "bad-key"}, 401, "Invalid or missing authentication"),
        ({"Ocp-Apim-Subscription-Key": "poor-key"}, 402, "Insufficient credits"),
    ],
)
async def test_pixazo_insists_on_its_headers_and_says_no_in_a_bare_string(
    live: Live, change: dict[str, str], status: int, sentence: str
) -> None:
    answer = await pixazo(live, "byteplus/v1/generateVideoTask", {"text": "a cat"}, PIXAZO | change)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize("body", [{"text": "a", "duration": 5}, {"text": "a", "content": text("a")}, {}, {"content": "a"}])
async def test_pixazo_refuses_bodies_that_its_page_does_not_show(live: Live, body: dict[str, Any]) -> None:
    answer = await pixazo(live, "byteplus/v1/generateVideoTask", body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


async def test_pixazo_has_a_path_of_its_own_for_pictures(live: Live) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x.example/y.png"}}
    body = {"model": "seedance-1-0-pro-250528", "content": [*text("a cat"), picture]}
    assert (await pixazo(live, "byteplus/v1/generateImage2VideoTask", body)).status_code == 200
    assert (await pixazo(live, "byteplus/v1/generateImage2VideoTask", {"text": "a cat"})).status_code == 400


async def test_pixazo_does_not_find_a_task_it_never_had(live: Live) -> None:
    answer = await pixazo(live, "bytedance-polling/getVideoResult", {"task_id": "cgt-1"})
    assert (answer.status_code, answer.json()) == (404, {"error": "Endpoint not found"})


@pytest.mark.parametrize(
    ("word", "status"), [("", "COMPLETED"), ("[fail]", "FAILED"), ("[expire]", "ERROR"), ("[stuck]", "PROCESSING")]
)
async def test_pixazos_newer_api_has_words_of_its_own(live: Live, word: str, status: str) -> None:
    accepted = await pixazo(live, "seedance-2-0/v1/text-to-video", {"prompt": f"a cat {word}"})
    body = accepted.json()
    assert (accepted.status_code, body["status"]) == (202, "QUEUED")
    assert body["polling_url"] == f"{live.base('pixazo')}/v2/requests/status/{body['request_id']}"
    job = live.sandbox.world.find("pixazo", body["request_id"])
    assert job is not None
    if word == "[stuck]":
        assert job.life is not None
        await job.life
    else:
        await job.ended.wait()
    shown = (await live.http.get(body["polling_url"], headers=PIXAZO)).json()
    assert shown["status"] == status
    assert (shown["error"] is not None) == (status in ("FAILED", "ERROR"))
    assert (shown["output"] is not None) == (status == "COMPLETED")


async def test_pixazos_newer_api_knows_its_own_paths_only(live: Live) -> None:
    assert (await pixazo(live, "seedance-2-5/v1/extend-video", {"prompt": "a"})).status_code == 202
    assert (await pixazo(live, "seedance-2-0/v1/text-to-video-fast", {"prompt": "a"})).status_code == 202
    assert (await pixazo(live, "seedance-2-0-mini/text-to-video", {"content": text("a"), "duration": 5})).status_code == 202
    assert (await pixazo(live, "seedance-2-5/v1/text-to-video", {"text": "a", "callback_url": live.hook})).status_code == 400
    assert (await pixazo(live, "seedance-3-0/v1/text-to-video", {"prompt": "a"})).status_code == 404
    assert (await pixazo(live, "seedance-2-0/v1/text-to-song", {"prompt": "a"})).status_code == 404


# --- all ---


async def test_a_body_that_is_no_object_is_refused_everywhere(live: Live) -> None:
    ark = "contents/generations/tasks"
    paths = {"ark": ark, "apiyi": ark, "acedata": "seedance/videos", "yescale": "seedance/generations"}
    paths["pixazo"] = "byteplus/v1/generateVideoTask"
    for provider, path in paths.items():
        for body in (b"", b"[]", b"{", b'"x"', b"\xff", orjson.dumps({"model": 7, "content": 7})):
            headers = {**KEY, **PIXAZO, "Content-Type": "application/json"}
            answer = await live.send("POST", f"{live.base(provider)}/{path}", content=body, headers=headers)
            assert answer.status_code == 400, (provider, body)


async def test_the_guide_names_every_gateway_and_every_word(start: Start) -> None:
    live = await start()
    guide = (await live.http.get(f"{live.root}/sandbox/")).text
    for path in ("/sandbox/api/v3", "/sandbox/agentsflare/byteplus/v3", "[lose:running]", "[500:placed]", "forget"):
        assert path in guide
