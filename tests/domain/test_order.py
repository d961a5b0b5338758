"""Order: the same in the shape of the API, as a value, and shown to people."""

from dataclasses import fields
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.domain.order import SHOWN_TEXT, Item, Order, shown
from service.web.shapes import OrderIn

text = st.text(min_size=1, max_size=20)
url = st.just("https://pictures.test/a.png")


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["image_url", "video_url", "audio_url", "text", "draft_task"]))
    match kind:
        case "text":
            out: dict[str, Any] = {"type": kind, "text": draw(text)}
        case "draft_task":
            out = {"type": kind, "draft_task": {"id": draw(text)}}
        case _:
            out = {"type": kind, kind: {"url": draw(url)}}
    if draw(st.booleans()):
        out["role"] = draw(st.sampled_from(["first_frame", "last_frame", "reference_image"]))
    return out


raw_orders = st.fixed_dictionaries(
    {"model": text},
    optional={
        "prompt": text,
        "content": st.lists(items(), min_size=1, max_size=3),
        "resolution": text,
        "duration": st.integers(0, 20),
        "seed": st.integers(-1, 100),
        "watermark": st.booleans(),
        "draft": st.booleans(),
        "tools": st.lists(st.fixed_dictionaries({"type": text}), min_size=1, max_size=2),
        "provider": text,
        "callback_url": url,
        "metadata": st.dictionaries(text, text, min_size=1, max_size=3),
    },
)


@given(raw_orders)
def test_an_order_comes_back_in_the_shape_it_came_in(raw: dict[str, Any]) -> None:
    assert Order.of(raw).as_dict() == raw
    assert Order.of(Order.of(raw).as_dict()) == Order.of(raw)


@given(raw_orders)
def test_what_was_said_as_false_or_zero_is_kept(raw: dict[str, Any]) -> None:
    raw |= {"watermark": False, "seed": 0, "generate_audio": False}
    out = Order.of(raw).as_dict()
    assert (out["watermark"], out["seed"], out["generate_audio"]) == (False, 0, False)


def test_everything_a_caller_may_send_is_part_of_an_order() -> None:
    assert set(OrderIn.model_fields) == {f.name for f in fields(Order)}


def test_the_prompt_is_the_first_of_the_items() -> None:
    order = Order("m", prompt="a boat", content=(Item("image_url", "https://pictures.test/a.png", "first_frame"),))
    assert [i.type for i in order.items] == ["text", "image_url"]
    assert order.text == "a boat"


def test_an_inline_picture_is_shown_by_its_kind_and_size_only() -> None:
    picture = "data:image/png;base64," + "A" * 1_000_000
    out = shown(Order("m", content=(Item("image_url", picture, "first_frame"),)))
    assert out["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,… (1000022 characters)"}, "role": "first_frame"}
    ]


def test_an_endless_prompt_is_cut_and_says_how_long_it_was() -> None:
    out = shown(Order("m", prompt="x" * 100_000))
    assert len(out["prompt"]) < SHOWN_TEXT + 40
    assert out["prompt"].endswith("(100000 characters)")


def test_what_is_short_is_shown_whole() -> None:
    order = Order("m", prompt="x" * SHOWN_TEXT, metadata={"shot": "1"})
    assert shown(order) == order.as_dict()
