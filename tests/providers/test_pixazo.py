"""Pixazo: two APIs, two styles of body, one key."""

import orjson
import pytest

from service.domain.errors import Category
from service.domain.lifecycle import State
from service.domain.order import Item, Order
from service.domain.report import Accepted, Rejected, Report, Unreadable
from service.providers.base import Account
from service.providers.pixazo import PIXAZO
from service.wire import Reply
from tests.providers.conformance import KEY, NOW, V2_ID, account, recorded

TEXT, CONTENT, V2 = account(PIXAZO), account(PIXAZO, body="content"), account(PIXAZO, api="v2")
IMAGE = Item("image_url", "https://x.example/1.png", "first_frame")


@pytest.mark.parametrize("used", [TEXT, CONTENT, V2], ids=["text", "content", "v2"])
def test_every_request_has_its_two_headers(used: Account) -> None:
    order = Order(model="seedance-2-0-260128", prompt="a cat")
    for request in (PIXAZO.submit(used, order, None), PIXAZO.query(used, "id-1")):
        assert request.headers["ocp-apim-subscription-key"] == KEY
        assert request.headers["cache-control"] == "no-cache"
        assert "authorization" not in request.headers


def test_the_legacy_body_is_text_or_content_as_the_account_says() -> None:
    order = Order(model="m", prompt="a cat", ratio="16:9", duration=5, seed=3)
    flagged = "a cat --ratio 16:9 --duration 5 --seed 3"
    request = PIXAZO.submit(TEXT, order, "https://us.example/cb")
    assert str(request.url) == "https://gateway.pixazo.ai/byteplus/v1/generateVideoTask"
    assert orjson.loads(request.content) == {"model": "m", "text": flagged, "callback_url": "https://us.example/cb"}
    content = orjson.loads(PIXAZO.submit(CONTENT, order, None).content)
    assert content == {"model": "m", "content": [{"type": "text", "text": flagged}]}


def test_images_need_content_and_have_their_own_address() -> None:
    order = Order(model="m", prompt="a cat", content=(IMAGE,))
    assert [fault.field for fault in PIXAZO.refuse(order, TEXT)] == ["content[0].type"]
    assert not PIXAZO.refuse(order, CONTENT)
    assert PIXAZO.submit(CONTENT, order, None).url.path == "/byteplus/v1/generateImage2VideoTask"


def test_legacy_questions_are_posts() -> None:
    request = PIXAZO.query(TEXT, "cgt-1")
    assert (request.method, str(request.url)) == ("POST", "https://gateway.pixazo.ai/bytedance-polling/getVideoResult")
    assert orjson.loads(request.content) == {"task_id": "cgt-1"}


@pytest.mark.parametrize(
    ("model", "content", "task", "path"),
    [
        ("dreamina-seedance-2-0-260128", (), None, "/seedance-2-0/v1/text-to-video"),
        ("dreamina-seedance-2-0-fast-260128", (), None, "/seedance-2-0-fast/v1/text-to-video-fast"),
        ("dreamina-seedance-2-0-mini-260615", (), None, "/seedance-2-0-mini/text-to-video"),
        ("dreamina-seedance-2-5-260628", (IMAGE,), None, "/seedance-2-5/v1/first-last-frame-to-video"),
        ("seedance-2-0", (Item("image_url", "https://x/1", "reference_image"),), None, "/seedance-2-0/v1/reference-to-video"),
        ("seedance-2-0", (IMAGE, Item("audio_url", "https://x/1", None)), None, "/seedance-2-0/v1/reference-to-video"),
        ("seedance-2-0", (Item("video_url", "https://x/1", "reference_video"),), "edit", "/seedance-2-0/v1/edit-video"),
        ("seedance-2-5", (Item("video_url", "https://x/1", "reference_video"),), "extend", "/seedance-2-5/v1/extend-video"),
    ],
)
def test_v2_has_an_address_for_each_mode_of_each_model(
    model: str, content: tuple[Item, ...], task: str | None, path: str
) -> None:
    order = Order(model=model, prompt="a cat", content=content, duration=5, omni_reference_task_type=task)
    assert not PIXAZO.refuse(order, V2)
    request = PIXAZO.submit(V2, order, "https://us.example/cb")
    assert request.url.path == path
    assert request.headers["x-webhook-url"] == "https://us.example/cb"
    body = orjson.loads(request.content)
    assert body == {"content": [item.as_dict() for item in order.items], "duration": 5}


def test_v2_questions_are_gets() -> None:
    request = PIXAZO.query(V2, V2_ID)
    assert (request.method, str(request.url)) == ("GET", f"https://gateway.pixazo.ai/v2/requests/status/{V2_ID}")
    assert request.content == b""


def test_what_each_api_cannot_say_is_refused_by_name() -> None:
    order = Order(model="seedance-1-0-pro-250528", prompt="a cat", seed=1, draft=True)
    assert {fault.field for fault in PIXAZO.refuse(order, TEXT)} == {"draft"}
    assert {fault.field for fault in PIXAZO.refuse(order, V2)} == {"draft", "seed", "model"}
    (fault,) = PIXAZO.refuse(Order(model="m", prompt="a cat"), account(PIXAZO, api="v3"))
    assert "legacy or v2" in fault.message


@pytest.mark.parametrize(
    ("status", "category"),
    [(400, Category.PARAMETERS), (401, Category.CREDENTIALS), (402, Category.QUOTA), (403, Category.CREDENTIALS)],
)
def test_a_bare_sentence_is_read_by_its_status(status: int, category: Category) -> None:
    outcome = PIXAZO.read_submit(Reply(status, {}, recorded("pixazo/error.json")), NOW)
    assert isinstance(outcome, Rejected)
    assert outcome.error.category is category
    assert outcome.error.message == "Invalid request parameters"


def test_the_recorded_acceptance_is_read() -> None:
    outcome = PIXAZO.read_submit(Reply(200, {}, recorded("pixazo/accepted.json")), NOW)
    assert outcome == Accepted("cgt-XXXXXXXXXXXXXXXXXXXX-XXXXX")


def test_v2_is_told_apart_by_its_id_and_needs_a_usable_video() -> None:
    done = {"request_id": V2_ID, "status": "COMPLETED", "output": {"media_url": "https://media.example/x.mp4"}}
    report = PIXAZO.read_callback(orjson.dumps(done))
    assert isinstance(report, Report)
    assert report.state is State.SUCCEEDED
    outputs: list[object] = [None, {}, {"media_url": []}, {"media_url": ["x.mp4"]}]
    for output in outputs:
        assert isinstance(PIXAZO.read_callback(orjson.dumps({**done, "output": output})), Unreadable)
    failed = PIXAZO.read_callback(orjson.dumps({"request_id": V2_ID, "status": "ERROR", "error": None}))
    assert isinstance(failed, Report)
    assert failed.state is State.FAILED
