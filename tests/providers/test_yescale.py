"""YEScale: parameters as --flags."""

import orjson

from service.domain.order import Item, Order
from service.providers.yescale import YESCALE
from tests.providers.conformance import account

ACCOUNT = account(YESCALE)


def text(order: Order) -> str:
    content = orjson.loads(YESCALE.submit(ACCOUNT, order, None).content)["content"]
    return str(next(item["text"] for item in content if item["type"] == "text"))


def test_parameters_are_written_into_the_text() -> None:
    order = Order(model="m", prompt="a cat", resolution="480p", duration=10, ratio="9:21", camera_fixed=False)
    request = YESCALE.submit(ACCOUNT, order, None)
    assert str(request.url) == "https://gateway.example/api/seedance/generations"
    assert orjson.loads(request.content) == {
        "model": "m",
        "content": [{"type": "text", "text": "a cat --resolution 480p --ratio 9:21 --duration 10 --camerafixed false"}],
    }
    assert str(YESCALE.query(ACCOUNT, "cgt-1").url) == "https://gateway.example/api/seedance/generations/cgt-1"


def test_flags_already_in_the_prompt_are_said_once_and_in_one_spelling() -> None:
    assert text(Order(model="m", prompt="a cat --dur 5 in rain", duration=5)) == "a cat in rain --duration 5"


def test_a_picture_without_a_prompt_gets_its_flags_too() -> None:
    order = Order(model="m", content=(Item("image_url", "https://x.example/1.png"),), duration=5)
    assert text(order) == "--duration 5"
    assert not YESCALE.refuse(order, ACCOUNT)


def test_what_its_page_does_not_offer_is_refused_by_name() -> None:
    order = Order(
        model="m",
        prompt="a cat --seed 5",
        content=(Item("audio_url", "https://x.example/1.mp3"),),
        resolution="720p",
        duration=7,
        ratio="2:1",
        watermark=False,
        generate_audio=True,
        return_last_frame=True,
    )
    faults = {fault.field: fault.message for fault in YESCALE.refuse(order, ACCOUNT)}
    assert set(faults) == {
        "prompt",
        "content[0].type",
        "resolution",
        "duration",
        "ratio",
        "watermark",
        "generate_audio",
        "return_last_frame",
    }
    assert "5, 10" in faults["duration"]
    assert "--seed 5" in faults["prompt"]


def test_a_flag_in_the_prompt_is_held_to_the_same_values() -> None:
    (fault,) = YESCALE.refuse(Order(model="m", prompt="a cat --rs 720p"), ACCOUNT)
    assert fault.field == "prompt"
    assert "480p, 1080p" in fault.message
