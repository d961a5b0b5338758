"""Ark's own wire, and what only Ark offers: lists, cancels, scans."""

import httpx
import orjson
import pytest

from service.domain.errors import Category
from service.domain.lifecycle import State
from service.domain.order import Item, Order
from service.domain.report import (
    Busy,
    CancelTaken,
    CancelTooLate,
    Listed,
    Missing,
    NoAnswer,
    Refused,
    Report,
    Result,
    Unknown,
    Unreadable,
)
from service.providers.ark import ARK
from service.wire import Reply
from tests.providers.conformance import ARK_ID, NOW, account, recorded

ACCOUNT = account(ARK)
BASE = "https://ark.cn-beijing.volces.com/api/v3/contents/generations/tasks"


def sent(request: httpx.Request) -> dict[str, object]:
    body = orjson.loads(request.content)
    assert isinstance(body, dict)
    return body


def test_an_order_that_says_everything_is_sent_as_ark_spells_it() -> None:
    order = Order(
        model="m",
        prompt="a cat",
        content=(Item("image_url", "https://x.example/1.png", "first_frame"), Item("draft_task", "cgt-0")),
        resolution="720p",
        ratio="16:9",
        duration=5,
        frames=29,
        seed=0,
        watermark=False,
        camera_fixed=True,
        generate_audio=False,
        return_last_frame=True,
        service_tier="flex",
        draft=False,
        priority=0,
        execution_expires_after=3600,
        safety_identifier="u",
        tools=("web_search",),
        output_format="mov",
        omni_reference_task_type="auto",
        provider="ark",
        callback_url="https://the-callers-own.example",
        metadata={"ours": "alone"},
    )
    request = ARK.submit(ACCOUNT, order, "https://us.example/callbacks/ark/token")
    assert str(request.url) == BASE
    assert request.headers["authorization"] == f"Bearer {ACCOUNT.api_key}"
    assert request.headers["content-type"] == "application/json"
    assert sent(request) == {
        "model": "m",
        "content": [
            {"type": "text", "text": "a cat"},
            {"type": "image_url", "image_url": {"url": "https://x.example/1.png"}, "role": "first_frame"},
            {"type": "draft_task", "draft_task": {"id": "cgt-0"}},
        ],
        "callback_url": "https://us.example/callbacks/ark/token",
        "resolution": "720p",
        "ratio": "16:9",
        "duration": 5,
        "frames": 29,
        "seed": 0,
        "watermark": False,
        "camera_fixed": True,
        "generate_audio": False,
        "return_last_frame": True,
        "service_tier": "flex",
        "draft": False,
        "priority": 0,
        "execution_expires_after": 3600,
        "safety_identifier": "u",
        "tools": [{"type": "web_search"}],
        "output_format": "mov",
        "omni_reference_task_type": "auto",
    }


def test_what_an_order_does_not_say_is_not_sent() -> None:
    request = ARK.submit(ACCOUNT, Order(model="m", prompt="日本"), None)
    assert request.content == '{"model":"m","content":[{"type":"text","text":"日本"}]}'.encode()


def test_a_success_is_read_in_full() -> None:
    assert ARK.read_query(Reply(200, {}, recorded("ark/succeeded.json")), ARK_ID, NOW) == Report(
        State.SUCCEEDED,
        "succeeded",
        ARK_ID,
        Result(
            "https://ark-content-generation-ap-southeast-1.tos-ap-southeast-1.volces.com/x.mp4?X-Tos-Expires=86400",
            "https://ark-content-generation-ap-southeast-1.tos-ap-southeast-1.volces.com/x.png?X-Tos-Expires=86400",
            17918,
            "480p",
            "16:9",
            2,
        ),
        tokens=19845,
        updated_at=1787869648_000,
    )


UNUSABLE: tuple[object, ...] = (
    *("", "x.mp4", "ftp://x.example/x.mp4", "javascript:alert(1)", "https://", "https://x.example/a b", "https://x/\u0000"),
    *("https://x.example/" + "a" * 9_000, "file:///etc/passwd", 5, None, ["https://x.example/x.mp4"]),
)


@pytest.mark.parametrize("url", UNUSABLE, ids=lambda url: str(url)[:30])
def test_a_success_whose_video_cannot_be_opened_is_unreadable(url: object) -> None:
    body = orjson.dumps({"id": ARK_ID, "status": "succeeded", "content": {"video_url": url}})
    assert isinstance(ARK.read_callback(body), Unreadable)


def test_optional_fields_of_wrong_types_are_left_out() -> None:
    wrong = {
        "seed": "1",
        "resolution": 5,
        "ratio": {},
        "duration": "5",
        "usage": {"completion_tokens": -1},
        "updated_at": "now",
    }
    body = orjson.dumps({"id": ARK_ID, "status": "succeeded", "content": {"video_url": "https://x.example/x.mp4"}, **wrong})
    assert ARK.read_callback(body) == Report(State.SUCCEEDED, "succeeded", ARK_ID, Result("https://x.example/x.mp4"))


def test_a_failure_without_an_error_is_still_a_failure() -> None:
    errors: list[dict[str, object]] = [{}, {"error": None}, {"error": {}}, {"error": 5}]
    for error in errors:
        report = ARK.read_callback(orjson.dumps({"id": ARK_ID, "status": "failed", **error}))
        assert isinstance(report, Report)
        assert report.state is State.FAILED
        assert report.error is not None
        assert report.error.category is Category.UNKNOWN


def test_a_word_nobody_knows_is_kept_and_has_no_state() -> None:
    report = ARK.read_callback(orjson.dumps({"id": ARK_ID, "status": "Meditating\x00"}))
    assert report == Report(None, "Meditating\ufffd", ARK_ID)


@pytest.mark.parametrize("task_id", ["", ".", "..", "a b", "a\n", "naïve", "a\u0000", "x" * 201, 7, None])
def test_an_id_that_cannot_be_kept_or_asked_about_is_none(task_id: object) -> None:
    assert isinstance(ARK.read_submit(Reply(200, {}, orjson.dumps({"id": task_id})), NOW), Unknown)
    assert isinstance(ARK.read_callback(orjson.dumps({"id": task_id, "status": "running"})), Unreadable)


def test_an_id_is_escaped_in_a_path() -> None:
    request = ARK.query(ACCOUNT, "a/../b?c#d%41")
    assert request.url.raw_path == b"/api/v3/contents/generations/tasks/a%2F..%2Fb%3Fc%23d%2541"


def test_many_are_asked_for_by_name_in_one_question() -> None:
    request = ARK.query_many(ACCOUNT, ["a", "b&c"], flex=False)
    assert str(request.url) == f"{BASE}?page_num=1&page_size=2&filter.task_ids=a&filter.task_ids=b%26c"
    assert request.method == "GET"
    assert request.url.params.get_list("filter.task_ids") == ["a", "b&c"]


def test_flex_tasks_are_asked_for_as_such() -> None:
    assert "filter.service_tier=flex" in str(ARK.query_many(ACCOUNT, ["a"], flex=True).url)
    assert "filter.service_tier=flex" in str(ARK.scan(ACCOUNT, "m", 1, flex=True).url)


def test_five_hundred_can_be_asked_for_and_no_more() -> None:
    assert len(ARK.query_many(ACCOUNT, ["a"] * 500, flex=False).url.params.get_list("filter.task_ids")) == 500
    with pytest.raises(AssertionError):
        ARK.query_many(ACCOUNT, ["a"] * 501, flex=False)


def test_a_list_answers_for_each_and_one_broken_entry_hides_no_other() -> None:
    items = [
        orjson.loads(recorded("ark/running.json")),
        {"id": "cgt-2", "status": "succeeded", "content": None},
        "nonsense",
        {"status": "queued"},
    ]
    outcome = ARK.read_many(Reply(200, {}, orjson.dumps({"total": 4, "items": items})), NOW)
    assert isinstance(outcome, dict)
    assert set(outcome) == {ARK_ID, "cgt-2"}
    assert outcome[ARK_ID].state is State.RUNNING
    assert outcome["cgt-2"].state is None


@pytest.mark.parametrize("body", [b'{"total":0,"items":[]}', b'{"total":0,"items":null}', b'{"total":0}'])
def test_an_empty_list_is_an_answer(body: bytes) -> None:
    assert ARK.read_many(Reply(200, {}, body), NOW) == {}


def test_a_list_that_fails_says_nothing_about_its_tasks() -> None:
    assert isinstance(ARK.read_many(Reply(200, {}, b"{}"), NOW), Unreadable)
    assert isinstance(ARK.read_many(Reply(404, {}, b""), NOW), Unreadable)
    assert isinstance(ARK.read_many(Reply(429, {}, b""), NOW), Busy)
    assert isinstance(ARK.read_many(Reply(500, {}, b""), NOW), NoAnswer)
    assert isinstance(ARK.read_many(Reply(401, {}, b""), NOW), Refused)
    assert isinstance(ARK.read_scan(Reply(404, {}, b""), NOW), Unreadable)


def test_a_cancel_deletes_and_is_taken_or_comes_too_late() -> None:
    request = ARK.cancel(ACCOUNT, ARK_ID)
    assert (request.method, str(request.url)) == ("DELETE", f"{BASE}/{ARK_ID}")
    assert ARK.read_cancel(Reply(200, {}, b"{}"), NOW) == CancelTaken()
    assert ARK.read_cancel(Reply(204, {}, b""), NOW) == CancelTaken()
    late = ARK.read_cancel(Reply(409, {}, recorded("ark/error_running_deletion.json")), NOW)
    assert isinstance(late, CancelTooLate)
    assert "currently running" in late.reason
    assert isinstance(ARK.read_cancel(Reply(409, {}, b""), NOW), CancelTooLate)
    assert isinstance(ARK.read_cancel(Reply(404, {}, b""), NOW), Missing)
    assert isinstance(ARK.read_cancel(Reply(500, {}, b""), NOW), NoAnswer)
    assert isinstance(ARK.read_cancel(Reply(401, {}, recorded("ark/error_authentication.json")), NOW), Refused)


def test_a_scan_lists_what_tells_orders_apart() -> None:
    assert str(ARK.scan(ACCOUNT, "ep-1/x", 2, flex=False).url) == f"{BASE}?page_num=2&page_size=500&filter.model=ep-1%2Fx"
    task = {**orjson.loads(recorded("ark/running.json")), "safety_identifier": "task_1", "duration": 5, "ratio": None}
    outcome = ARK.read_scan(Reply(200, {}, orjson.dumps({"total": 2, "items": [task, {"id": "x"}]})), NOW)
    assert isinstance(outcome, tuple)
    (only,) = outcome
    assert isinstance(only, Listed)
    assert only.report.remote_id == ARK_ID
    assert only.created_at == 1787869631_000
    assert only.safety_identifier == "task_1"
    assert only.fields == (("duration", 5),)
