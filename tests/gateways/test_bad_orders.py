"""Orders that were bound to fail are refused with the field named, before anything is sent to anybody."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.gateways.ground import Ground, open_ground

pytestmark = pytest.mark.anyio

LITE, LITE_IMAGE = "seedance-1-0-lite-t2v-250428", "seedance-1-0-lite-i2v-250428"
PRO, FAST = "seedance-1-0-pro-250528", "seedance-1-0-pro-fast-251015"
PRO15 = "seedance-1-5-pro-251215"
S20, S20FAST, S25 = "dreamina-seedance-2-0-260128", "dreamina-seedance-2-0-fast-260128", "dreamina-seedance-2-5-260628"

TEXT = {"type": "text", "text": "a cat"}


def media(kind: str, role: str | None = None, url: str = "https://media.example/x.png") -> dict[str, Any]:
    item: dict[str, Any] = {"type": f"{kind}_url", f"{kind}_url": {"url": url}}
    return item if role is None else {**item, "role": role}


FIRST, LAST, REFERENCE = media("image", "first_frame"), media("image", "last_frame"), media("image", "reference_image")
VIDEO, AUDIO = media("video", "reference_video"), media("audio", "reference_audio")


def text(model: str, prompt: str = "a cat", **fields: Any) -> dict[str, Any]:
    return {"model": model, "prompt": prompt, **fields}


def made_of(model: str, *items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": model, "content": list(items), **fields}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    # the shape of an order
    "no model": ({"prompt": "a cat"}, "model"),
    "nothing to make": ({"model": PRO}, "prompt"),
    "an empty prompt": (text(PRO, ""), "prompt"),
    "the text twice": ({"prompt": "a dog", **made_of(PRO, TEXT)}, "prompt"),
    "a field nobody knows": (text(PRO, loop=True), "loop"),
    "a duration in words": (text(PRO, duration="five"), "duration"),
    "half a second": (text(PRO, duration=5.5), "duration"),
    "yes instead of true": (text(PRO, watermark="yes"), "watermark"),
    "an item of no type": (made_of(PRO, {"text": "a cat"}), "content[0].type"),
    "an item of an unknown type": (made_of(PRO, TEXT, {"type": "model_url"}), "content[1].type"),
    "a role nobody knows": (made_of(PRO, TEXT, media("image", "middle_frame")), "content[1].role"),
    "metadata that is not text": (text(PRO, metadata={"shot": 7}), "metadata.shot"),
    "a callback by mail": (text(PRO, callback_url="mailto:me@example.com"), "callback_url"),
    # the picture
    "a ratio nobody makes": (text(S20, ratio="5:4"), "ratio"),
    "an adaptive ratio from text": (text(PRO, ratio="adaptive"), "ratio"),
    "a resolution nobody makes": (text(PRO, resolution="8k"), "resolution"),
    "4k on 1.0 pro": (text(PRO, resolution="4k"), "resolution"),
    "1080p with references on lite": (made_of(LITE_IMAGE, TEXT, REFERENCE, resolution="1080p"), "resolution"),
    "1080p on 2.0 fast": (text(S20FAST, resolution="1080p"), "resolution"),
    "4k on 2.5": (text(S25, resolution="4k"), "resolution"),
    # its length
    "30 frames": (text(PRO, frames=30), "frames"),
    "293 frames": (text(PRO, frames=293), "frames"),
    "frames with duration": (text(PRO, frames=29, duration=5), "frames"),
    "frames on 2.0": (text(S20, frames=29), "frames"),
    "1 second on 1.0": (text(PRO, duration=1), "duration"),
    "13 seconds on 1.0": (text(PRO, duration=13), "duration"),
    "any length on 1.0": (text(PRO, duration=-1), "duration"),
    "3 seconds on 2.0": (text(S20, duration=3), "duration"),
    "31 seconds on 2.5": (text(S25, duration=31), "duration"),
    # pictures, videos and sounds
    "two first frames": (made_of(PRO, TEXT, FIRST, FIRST), "content[2].role"),
    "a last frame alone": (made_of(PRO, TEXT, LAST), "content[1].role"),
    "a last frame on pro fast": (made_of(FAST, TEXT, FIRST, LAST), "content[2].role"),
    "an image where there is only text": (made_of(LITE, TEXT, FIRST), "content[1].role"),
    "text alone where there are only images": (text(LITE_IMAGE), "content"),
    "references on 1.0 pro": (made_of(PRO, TEXT, REFERENCE), "content[1].role"),
    "frames beside references": (made_of(S20, TEXT, FIRST, REFERENCE), "content[1].role"),
    "a video on 1.5": (made_of(PRO15, TEXT, VIDEO), "content[1].type"),
    "audio alone": (made_of(S20, TEXT, AUDIO), "content"),
    "ten references": (made_of(S20, TEXT, *[REFERENCE] * 10), "content"),
    "an image by ftp": (
        made_of(PRO, TEXT, media("image", "first_frame", "ftp://media.example/x.png")),
        "content[1].image_url.url",
    ),
    "an inline video": (made_of(S20, TEXT, media("video", url="data:video/mp4;base64,AAAA")), "content[1].video_url.url"),
    # everything else
    "a seed over 32 bits": (text(PRO, seed=2**32), "seed"),
    "an hour too short": (text(PRO, execution_expires_after=3_599), "execution_expires_after"),
    "an unknown tier": (text(PRO, service_tier="turbo"), "service_tier"),
    "flex on 2.0": (text(S20, service_tier="flex"), "service_tier"),
    "audio on 1.0": (text(PRO, generate_audio=True), "generate_audio"),
    "a fixed camera on 2.0": (text(S20, camera_fixed=True), "camera_fixed"),
    "a draft on 1.0": (text(PRO, draft=True), "draft"),
    "a draft at 1080p": (text(PRO15, draft=True, resolution="1080p"), "resolution"),
    "priority on 1.0": (text(PRO, priority=5), "priority"),
    "a priority of ten": (text(S20, priority=10), "priority"),
    "a flag that contradicts a field": (text(PRO, "a cat --dur 5", duration=10), "prompt"),
    "a flag that nobody makes": (text(PRO, "a cat --rs 8k"), "prompt"),
    # what one gateway cannot do
    "a gateway nobody knows": (text(PRO, provider="nowhere"), "provider"),
    "a gateway that is not on": (text(PRO, provider="sandbox"), "provider"),
    "7 seconds at yescale": (text(PRO, provider="yescale", duration=7), "duration"),
    "720p at yescale": (text(PRO, provider="yescale", resolution="720p"), "resolution"),
    "a seed at yescale": (text(PRO, provider="yescale", seed=7), "seed"),
    "frames at apiyi": (text(PRO, provider="apiyi", frames=29), "frames"),
    "a fixed camera at apiyi": (text(PRO, provider="apiyi", camera_fixed=True), "camera_fixed"),
    "4k at apiyi": (text(S20, provider="apiyi", resolution="4k"), "resolution"),
    "1,001 characters at acedata": (text(PRO, "a" * 1_001, provider="acedata"), "prompt"),
    "flex at acedata": (text(PRO, provider="acedata", service_tier="flex"), "service_tier"),
    "an image at pixazo, which takes text": (made_of(PRO, TEXT, FIRST, provider="pixazo"), "content[1].type"),
}


@pytest.fixture(scope="module")
async def untouched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """Gateways that nobody has sent anything to, nor ever does."""
    async with open_ground(tmp_path_factory.mktemp("untouched")) as ground:
        yield ground
        stats = await ground.stats()
        assert (stats["requests"], stats["placed"]) == ({}, {})


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_order_is_refused_with_its_field_named_and_nothing_is_sent(untouched: Ground, name: str) -> None:
    order, field = BAD[name]
    answer = await untouched.http.post("/v1/tasks", json=order)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert field in {error["field"] for error in problem["errors"]}, problem["errors"]
    assert all(error["message"] for error in problem["errors"])


async def test_every_fault_of_an_order_is_named_at_once(untouched: Ground) -> None:
    order = made_of(PRO, TEXT, FIRST, FIRST, ratio="5:4", frames=30, seed=-2, draft=True)
    errors = (await untouched.http.post("/v1/tasks", json=order)).json()["errors"]
    assert {error["field"] for error in errors} == {"content[2].role", "ratio", "frames", "seed", "draft"}


async def test_no_task_is_left_of_what_was_refused(untouched: Ground) -> None:
    await untouched.http.post("/v1/tasks", json=text(PRO, frames=30))
    assert (await untouched.http.get("/v1/tasks")).json()["data"] == []
