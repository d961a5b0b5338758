"""Orders are checked as strictly as Ark checks them, and the wrong field is named. No network: the checks are pure."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.sandbox import acedata, asks, pixazo, yescale
from service.sandbox.families import family_of, size, tokens
from service.sandbox.refusals import Refusal

PRO, PRO15, TWO, TWO5 = "seedance-1-0-pro-250528", "seedance-1-5-pro-251215", "seedance-2-0-260128", "seedance-2-5-260628"
T2V, I2V, FAST = "seedance-1-0-lite-t2v-250428", "seedance-1-0-lite-i2v-250428", "seedance-1-0-pro-fast-251015"
CAT: dict[str, Any] = {"type": "text", "text": "a cat"}


def image(role: str | None = None, url: str = "https://x.example/y.png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}, "role": role}


VIDEO: dict[str, Any] = {"type": "video_url", "video_url": {"url": "https://x.example/y.mp4"}, "role": "reference_video"}
AUDIO: dict[str, Any] = {"type": "audio_url", "audio_url": {"url": "asset://a"}, "role": "reference_audio"}
BAD_TASK = [{"type": "draft_task", "draft_task": {}}]


def order(model: str = PRO, content: Any = (CAT,), **fields: Any) -> dict[str, Any]:
    return {"model": model, "content": list(content), **fields}


BAD: list[tuple[dict[str, Any], str]] = [
    (order(""), "model"),
    (order("gpt"), "model"),
    ({"content": [CAT]}, "model"),
    ({"model": PRO}, "content"),
    (order(content=[]), "content"),
    (order(content=[{"type": "text", "text": " "}]), "content[0].text"),
    (order(content=["a cat"]), "content[0].type"),
    (order(content=[{"type": "poem"}]), "content[0]"),
    (order(content=BAD_TASK), "content[0]"),
    (order(content=[CAT, {"type": "image_url", "image_url": "https://x"}]), "content[1].image_url.url"),
    (order(content=[CAT, image(url="")]), "content[1].image_url.url"),
    (order(content=[CAT, image(url="ftp://x/y")]), "content[1].image_url.url"),
    (order(content=[CAT, image(url="data:image/PNG;base64,AA==")]), "content[1].image_url.url"),
    (order(content=[CAT, image("hero")]), "content[1].role"),
    (order(content=[CAT, image("first_frame"), image("first_frame")]), "content"),
    (order(content=[CAT, image("last_frame")]), "content"),
    (order(content=[CAT, image(), image("reference_image")]), "content"),
    (order(content=[CAT, image("reference_image")]), "content"),
    (order(T2V, [CAT, image()]), "content"),
    (order(I2V), "content"),
    (order(I2V, [CAT, *[image("reference_image")] * 5]), "content"),
    (order(I2V, [CAT, image("reference_image")], resolution="1080p"), "resolution"),
    (order(I2V, [CAT, image("reference_image")], camera_fixed=True), "camera_fixed"),
    (order(TWO, [CAT, *[image("reference_image")] * 10]), "content"),
    (order(TWO, [CAT, *[VIDEO] * 4]), "content"),
    (order(TWO, [CAT, AUDIO]), "content"),
    (order(TWO, [CAT, VIDEO | {"video_url": {"url": "data:video/mp4;base64,AA=="}}]), "content[1].video_url.url"),
    (order(TWO, frames=49), "frames"),
    (order(TWO, camera_fixed=True), "camera_fixed"),
    (order(TWO, service_tier="flex"), "service_tier"),
    (order(TWO, duration=3), "duration"),
    (order(TWO, duration=16), "duration"),
    (order("seedance-2-0-fast-260128", resolution="1080p"), "resolution"),
    (order(TWO, output_format="mov"), "output_format"),
    (order(TWO, omni_reference_task_type="edit"), "omni_reference_task_type"),
    (order(TWO, tools=[{"type": "magic"}]), "tools"),
    (order(duration=1), "duration"),
    (order(duration=13), "duration"),
    (order(duration=-1), "duration"),
    (order(duration="5"), "duration"),
    (order(duration=5.0), "duration"),
    (order(duration=True), "duration"),
    (order(content=[{"type": "text", "text": "a --dur long"}]), "duration"),
    (order(content=[{"type": "text", "text": "a --rs 999p"}]), "resolution"),
    (order(frames=30), "frames"),
    (order(frames=293), "frames"),
    (order(resolution="4k"), "resolution"),
    (order(ratio="5:4"), "ratio"),
    (order(ratio="adaptive"), "ratio"),
    (order(seed=-2), "seed"),
    (order(seed=2**32), "seed"),
    (order(draft=True), "draft"),
    (order(PRO15, draft=True, return_last_frame=True), "return_last_frame"),
    (order(PRO15, draft=True, service_tier="flex"), "service_tier"),
    (order(PRO15, draft=True, resolution="720p"), "resolution"),
    (order(FAST, return_last_frame=True), "return_last_frame"),
    (order(priority=1), "priority"),
    (order(TWO, priority=10), "priority"),
    (order(tools=[{"type": "web_search"}]), "tools"),
    (order(service_tier="fast"), "service_tier"),
    (order(execution_expires_after=3599), "execution_expires_after"),
    (order(execution_expires_after=259_201), "execution_expires_after"),
    (order(safety_identifier="ü"), "safety_identifier"),
    (order(safety_identifier="x" * 65), "safety_identifier"),
    (order(callback_url="ftp://x"), "callback_url"),
    (order(camerafixed=True), "camerafixed"),
    (order(watermark="no"), "watermark"),
]


@pytest.mark.parametrize(("body", "param"), BAD, ids=range(len(BAD)))
def test_a_wrong_field_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as refused:
        asks.read(body)
    assert refused.value.param == param
    assert refused.value.status in (400, 404)


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        (order(), "text"),
        (order("ep-20260101-x", duration=30, frames=None), "text"),
        (order(content=[CAT, image()]), "first"),
        (order(content=[image("first_frame", "data:image/png;base64,AA==")]), "first"),
        (order(content=[image("last_frame"), image("first_frame")], ratio="adaptive"), "first_last"),
        (order(I2V, [CAT, *[image("reference_image", "asset://a")] * 4]), "reference"),
        (order(TWO, [CAT, *[image("reference_image")] * 9, VIDEO, AUDIO], duration=-1, resolution="4k"), "reference"),
        (order(TWO5, [AUDIO], duration=30, output_format="mov", priority=9), "reference"),
        (order(PRO15, [{"type": "draft_task", "draft_task": {"id": "cgt-1"}}]), "draft"),
        (order(PRO15, draft=True, resolution="480p"), "text"),
        (order(frames=289, duration=5, service_tier="flex", camera_fixed=True, priority=0), "text"),
    ],
)
def test_a_right_order_is_taken_in_its_mode(body: dict[str, Any], mode: str) -> None:
    assert asks.read(body).mode == mode


@pytest.mark.parametrize(
    ("model", "resolution", "ratio", "duration", "billed"),
    [
        (PRO, "480p", "16:9", 2, 19845),
        (PRO, "480p", "16:9", 5, 49005),
        (PRO, "720p", "16:9", 5, 103818),
        (TWO, "720p", "16:9", 5, 108900),
        (PRO, "1080p", "16:9", 5, 246840),
        (PRO, "1080p", "16:9", 6, 295800),
        (TWO, "1080p", "3:4", 15, 732108),
    ],
)
def test_the_published_usages_are_billed_exactly(model: str, resolution: str, ratio: str, duration: int, billed: int) -> None:
    assert tokens(*size(family_of(model), resolution, ratio), 24 * duration + 1) == billed


def test_what_is_not_said_is_what_the_family_does_by_itself() -> None:
    pro, two, newest = asks.read(order()), asks.read(order(TWO)), asks.read(order(TWO5))
    assert (pro.resolution, two.resolution) == ("1080p", "720p")
    assert (pro.duration, newest.duration) == (5, 5)
    assert "generate_audio" not in pro.echoed
    assert two.echoed["generate_audio"] is True


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*sorted(asks.FIELDS), "text", "async", "camerafixed", "image_url", "type", "url"])
ITEMS = st.dictionaries(
    st.sampled_from(["type", "text", "image_url", "video_url", "draft_task", "role"]), JSON | st.just("text")
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=4), st.lists(JSON | ITEMS | st.just(CAT), max_size=3) | JSON)
def test_no_body_whatever_breaks_a_check(fields: dict[str, Any], content: Any) -> None:
    body = order() | fields | {"content": content}
    with suppress(Refusal):
        asks.read(body)
    with suppress(Refusal):
        asks.read(acedata.translated(body))
    with suppress(Refusal):
        asks.read(pixazo.older(body))
    with suppress(Refusal):
        asks.read(pixazo.newer(body))
    with suppress(Refusal):
        yescale.check(body)
