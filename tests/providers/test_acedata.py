"""Ace Data Cloud: its envelope, its ids, its words."""

import orjson
import pytest

from service.domain.errors import Category
from service.domain.lifecycle import State
from service.domain.order import Item, Order
from service.domain.report import Missing, NoAnswer, Refused, Rejected, Report, Result, Unknown, Unreadable
from service.providers.acedata import ACEDATA
from service.wire import Reply
from tests.providers.conformance import ACE_ID, NOW, account, recorded

ACCOUNT = account(ACEDATA)
VIDEO = "https://platform.cdn.acedata.cloud/x.mp4"


def sent(order: Order, callback_url: str | None = None) -> dict[str, object]:
    body = orjson.loads(ACEDATA.submit(ACCOUNT, order, callback_url).content)
    assert isinstance(body, dict)
    return body


def test_an_order_is_spelled_its_way_and_never_waited_for() -> None:
    order = Order(model="doubao-seedance-1-0-pro-250528", prompt="a cat", camera_fixed=True, resolution="480p", ratio="1:1")
    assert str(ACEDATA.submit(ACCOUNT, order, None).url) == "https://api.acedata.cloud/seedance/videos"
    assert sent(order, "https://us.example/cb") == {
        "model": "doubao-seedance-1-0-pro-250528",
        "content": [{"type": "text", "text": "a cat"}],
        "camerafixed": True,
        "resolution": "480p",
        "ratio": "1:1",
        "async": True,
        "callback_url": "https://us.example/cb",
    }


@pytest.mark.parametrize(
    ("model", "audio"),
    [
        ("doubao-seedance-1-5-pro-251215", True),
        ("doubao-seedance-2-0-260128", True),
        ("doubao-seedance-2-0-fast-260128", True),
        ("dreamina-seedance-2-5-260628", True),
        ("doubao-seedance-1-0-pro-250528", None),
        ("doubao-seedance-1-0-lite-t2v-250428", None),
        ("ep-20260101", None),
    ],
)
def test_sound_is_asked_for_where_ark_would_make_it(model: str, audio: bool | None) -> None:
    assert sent(Order(model=model, prompt="a cat")).get("generate_audio") is audio
    assert sent(Order(model=model, prompt="a cat", generate_audio=False))["generate_audio"] is False


def test_arks_own_defaults_are_sent_where_this_gateway_has_others() -> None:
    image = Item("image_url", "https://x.example/1.png")
    pro = sent(Order(model="doubao-seedance-1-0-pro-250528", prompt="a cat"))
    assert (pro["resolution"], pro.get("ratio")) == ("1080p", None)
    framed = sent(Order(model="doubao-seedance-1-0-lite-i2v-250428", prompt="a cat", content=(image,)))
    assert (framed["resolution"], framed["ratio"]) == ("720p", "adaptive")
    second = sent(Order(model="doubao-seedance-2-0-260128", prompt="a cat"))
    assert (second["resolution"], second["ratio"]) == ("720p", "adaptive")
    flagged = sent(Order(model="doubao-seedance-1-0-pro-250528", prompt="a cat --rs 480p"))
    assert "resolution" not in flagged
    assert "resolution" not in sent(Order(model="ep-20260101", prompt="a cat"))


def test_what_it_cannot_say_is_refused_by_name() -> None:
    order = Order(
        model="m",
        prompt="x" * 1_001,
        content=(Item("video_url", "https://x.example/1.mp4", "reference_video"), Item("text", "y" * 1_001)),
        service_tier="flex",
        draft=True,
        priority=1,
        tools=("web_search",),
    )
    fields = {fault.field for fault in ACEDATA.refuse(order, ACCOUNT)}
    assert fields == {"prompt", "content[0].type", "content[1].text", "service_tier", "draft", "priority", "tools"}


@pytest.mark.parametrize("name", ["callback_succeeded_flat", "callback_succeeded_ark"])
def test_a_callback_is_read_in_both_shapes_under_its_own_id(name: str) -> None:
    report = ACEDATA.read_callback(recorded(f"acedata/{name}.json"))
    assert isinstance(report, Report)
    assert report.state is State.SUCCEEDED
    assert report.remote_id == ACE_ID
    assert report.result is not None
    assert report.result.video_url == VIDEO
    assert report.tokens == (108900 if name.endswith("ark") else None)


def test_a_list_of_one_is_read_like_the_one() -> None:
    body = orjson.loads(recorded("acedata/callback_succeeded_flat.json"))
    alone = ACEDATA.read_callback(orjson.dumps(body))
    assert ACEDATA.read_callback(orjson.dumps({**body, "data": [body["data"]]})) == alone
    assert isinstance(ACEDATA.read_callback(orjson.dumps({**body, "data": [body["data"]] * 2})), Unreadable)


def test_a_failed_callback_says_why() -> None:
    report = ACEDATA.read_callback(recorded("acedata/callback_failed.json"))
    assert isinstance(report, Report)
    assert report.state is State.FAILED
    assert report.error is not None
    assert (report.error.code, report.error.message) == ("api_error", "generation failed")
    assert report.error.category is Category.TRANSIENT


@pytest.mark.parametrize("code", ["api_error", "forbidden", "bad_request"])
def test_a_failure_that_quotes_ark_has_arks_category(code: str) -> None:
    error = {"code": code, "message": "OutputVideoSensitiveContentDetected: refused"}
    report = ACEDATA.read_callback(orjson.dumps({"success": False, "task_id": ACE_ID, "error": error}))
    assert isinstance(report, Report)
    assert report.error is not None
    assert report.error.category is Category.OUTPUT_MODERATION


def test_an_unknown_task_is_an_empty_object() -> None:
    outcome = ACEDATA.read_query(Reply(200, {}, recorded("acedata/retrieve_unknown.json")), ACE_ID, NOW)
    assert isinstance(outcome, Missing)


def test_a_task_that_is_finished_without_a_response_is_unreadable() -> None:
    body = {**orjson.loads(recorded("acedata/retrieve_pending.json")), "finished_at": 1768294580.5}
    assert isinstance(ACEDATA.read_query(Reply(200, {}, orjson.dumps(body)), ACE_ID, NOW), Unreadable)


def test_an_envelope_about_another_task_is_unreadable() -> None:
    body = orjson.loads(recorded("acedata/retrieve_succeeded.json"))
    body["response"]["task_id"] = "another"
    assert isinstance(ACEDATA.read_query(Reply(200, {}, orjson.dumps(body)), ACE_ID, NOW), Unreadable)


def test_many_are_asked_for_in_one_post() -> None:
    request = ACEDATA.query_many(ACCOUNT, ["a", "b"], flex=False)
    assert str(request.url) == "https://api.acedata.cloud/seedance/tasks"
    assert orjson.loads(request.content) == {"ids": ["a", "b"], "action": "retrieve_batch"}
    single = ACEDATA.query(ACCOUNT, "a")
    assert orjson.loads(single.content) == {"id": "a", "action": "retrieve"}


def test_a_task_that_is_listed_twice_keeps_its_ending() -> None:
    outcome = ACEDATA.read_many(Reply(200, {}, recorded("acedata/retrieve_batch.json")), NOW)
    assert outcome == {ACE_ID: Report(State.SUCCEEDED, "succeeded", ACE_ID, Result(VIDEO))}


@pytest.mark.parametrize(
    ("status", "code", "category"),
    [
        (400, "bad_request", Category.PARAMETERS),
        (400, "no_token", Category.CREDENTIALS),
        (401, "token_expired", Category.CREDENTIALS),
        (403, "used_up", Category.QUOTA),
        (403, "disabled", Category.CREDENTIALS),
        (403, "forbidden", Category.INPUT_MODERATION),
        (404, "no_api", Category.CREDENTIALS),
        (413, "request_too_large", Category.PARAMETERS),
    ],
)
def test_its_words_are_read_in_the_common_ones(status: int, code: str, category: Category) -> None:
    reply = Reply(status, {}, orjson.dumps({"error": {"code": code, "message": "no"}, "trace_id": "t"}))
    outcome = ACEDATA.read_submit(reply, NOW)
    assert isinstance(outcome, Rejected)
    assert outcome.error.category is category


def test_its_own_faults_leave_a_submit_unknown_and_a_question_without_answer() -> None:
    for status, code in ((500, "api_error"), (504, "timeout"), (400, "api_error")):
        reply = Reply(status, {}, orjson.dumps({"error": {"code": code, "message": "oops"}}))
        assert isinstance(ACEDATA.read_submit(reply, NOW), Unknown)
    assert isinstance(ACEDATA.read_query(Reply(504, {}, b""), ACE_ID, NOW), NoAnswer)


def test_a_wrong_address_of_ours_is_not_taken_for_an_unknown_task() -> None:
    reply = Reply(404, {}, orjson.dumps({"error": {"code": "no_api", "message": "no such api"}}))
    assert isinstance(ACEDATA.read_query(reply, ACE_ID, NOW), Refused)
