from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from service.channels.base import FOLD_LIMIT, Notice, Target
from service.channels.slack import Slack
from service.domain.delivery import Failed, Gone, Outcome, Throttled, Told
from tests.channels.samples import HOSTILE, NOW, notice, operational, reply, said, task, worst

SLACK = Slack()
URL = "https://hooks.slack.com/services/T024BE7LD/B024BE7LE/s3cr3tsecrets3cr3t"
TARGET = Target(URL)


def message(*notices: Notice) -> dict[str, Any]:
    body: dict[str, Any] = said(SLACK.compose(notices, TARGET, NOW).request())
    return body


def texts(value: object) -> list[str]:
    """Everything Slack would render, without addresses behind buttons."""
    match value:
        case dict():
            return [t for key, v in value.items() if key not in ("url", "type", "action_id") for t in texts(v)]
        case list():
            return [t for v in value for t in texts(v)]
        case str():
            return [value]
        case _:
            return []


def assert_slack_takes(body: dict[str, Any]) -> None:
    assert len(body["blocks"]) <= 50
    for raw in body["blocks"]:
        block = Block.parse(raw)
        assert block is not None
        assert block.to_dict() == raw
        block.validate_json()
        for field in raw.get("fields", ()):
            assert 0 < len(field["text"]) <= 2_000
        for element in raw.get("elements", ()):
            if element["type"] == "button":
                assert len(element["url"]) <= 3_000
    for text in texts(body):
        assert text.strip(), "Slack refuses an empty text"
        assert "<" not in text
        assert ">" not in text
        assert "@" not in text.replace("@\u2060", "")
        assert text.count("&") == sum(text.count(entity) for entity in ("&amp;", "&lt;", "&gt;"))


def test_a_success_reads_like_a_sentence_and_has_both_buttons() -> None:
    body = message(notice())
    header, asked, facts, actions, context = body["blocks"]
    assert header["text"]["text"] == "✅ Video ready"
    assert asked["text"] == {"type": "plain_text", "text": "A cat walks over a piano", "emoji": False}
    assert [f["text"] for f in facts["fields"]][2] == "*Size*\n1080p · 16:9 · 6 s"
    assert [(b["text"]["text"], b["url"]) for b in actions["elements"]] == [
        ("Open video", "https://cdn.example.com/v.mp4?sig=abc"),
        ("Open task", "https://callsheet.example.com/v1/tasks/task_0d3kx9v2m4q7r"),
    ]
    assert context["elements"][0]["text"] == "task_0d3kx9v2m4q7r"
    assert body["text"] == "✅ Video ready · A cat walks over a piano"
    assert_slack_takes(body)


def test_a_failure_says_why_and_what_to_do() -> None:
    error = {"message": "blood & <gore>", "category": "output_moderation", "suggestion": "Soften the prompt."}
    body = message(notice(task(state="failed", result=None, error=error)))
    assert body["blocks"][2]["text"]["text"] == "output moderation: blood &amp; &lt;gore&gt;\n_Soften the prompt._"
    assert_slack_takes(body)


def test_an_order_without_visible_words_makes_no_empty_text() -> None:
    assert_slack_takes(message(notice(task(order={"prompt": "\u200b \n"}))))


def test_no_prompt_can_ping_anybody() -> None:
    body = message(notice(task(order={"prompt": "<!channel> <@U024BE7LH> @here @everyone"})))
    assert "<!channel>" not in str(texts(body))
    assert "@here" not in str(texts(body))
    assert all(text["verbatim"] for block in body["blocks"] for text in block.get("fields", ()))
    assert_slack_takes(body)


@settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HOSTILE)
def test_slack_takes_whatever_a_task_contains(one: Notice) -> None:
    assert_slack_takes(message(one))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(HOSTILE, min_size=2, max_size=5))
def test_slack_takes_every_digest_and_each_notice_has_its_line(many: list[Notice]) -> None:
    body = message(*many)
    assert len(body["blocks"]) == len(many) + 1
    assert_slack_takes(body)


@pytest.mark.parametrize("count", [1, FOLD_LIMIT])
@pytest.mark.parametrize("letter", ["&", "@", "🎬"])
def test_the_longest_tasks_fit_into_a_slack_message(letter: str, count: int) -> None:
    assert_slack_takes(message(*[worst(letter)] * count))


def test_a_digest_counts_and_links_each_video() -> None:
    lost = task(state="lost", result=None, reason="no answer")
    body = message(notice(), notice(lost), operational(reason="answered 410"))
    assert body["blocks"][0]["text"]["text"] == "3 notices: 1 succeeded, 1 lost, 1 subscription disabled"
    assert body["blocks"][1]["accessory"]["text"]["text"] == "Open video"
    assert body["blocks"][2]["accessory"]["text"]["text"] == "Open task"
    assert "no answer" in body["blocks"][2]["text"]["text"]
    assert_slack_takes(body)


def test_the_same_notices_make_the_same_bytes() -> None:
    first, second = (SLACK.compose([notice()], TARGET, at).request() for at in (NOW, NOW + 86_400_000))
    assert first.content == second.content


@pytest.mark.parametrize(
    ("status", "body", "headers", "outcome"),
    [
        (200, b"ok", {}, Told()),
        (400, b"invalid_payload", {}, Gone("Slack answered 400: invalid_payload")),
        (400, b"user_not_found", {}, Gone("Slack answered 400: user_not_found")),
        (400, b"invalid_blocks", {}, Failed("answered 400: invalid_blocks", "400")),
        (403, b"action_prohibited", {}, Gone("Slack answered 403: action_prohibited")),
        (404, b"channel_not_found", {}, Gone("Slack answered 404: channel_not_found")),
        (404, b"no_service", {}, Gone("Slack answered 404: no_service")),
        (410, b"channel_is_archived", {}, Gone("Slack answered 410: channel_is_archived")),
        (429, b"rate_limited", {"retry_after": "7"}, Throttled("answered 429", 7.0)),
        (429, b"", {}, Throttled("answered 429", None)),
        (500, b"rollup_error", {}, Failed("answered 500: rollup_error", "500")),
        (302, b"", {}, Failed("answered 302: a redirect is not followed, correct the address", "302")),
        (500, b"\xff\x00" * 500, {}, Failed("answered 500: " + "\ufffd" * 40, "500")),
    ],
)
def test_what_slack_answers_is_understood(status: int, body: bytes, headers: dict[str, str], outcome: Outcome) -> None:
    assert SLACK.read(reply(status, body, **headers), NOW) == outcome


def test_only_slacks_own_hooks_are_taken_unless_a_relay_is_named() -> None:
    assert SLACK.check(URL, {}) == []
    for bad in (
        "http://hooks.slack.com/services/T/B/x",
        "https://hooks.slack.com/workflows/T/B/x",
        "https://hooks.slack.com.evil.example/services/T/B/x",
        "https://evil.example/services/T/B/x",
        "https://hooks.slack.com@evil.example/services/T/B/x",
        "https://hooks.slack.com\\.evil.example/services/T/B/x",
        "not an address",
    ):
        assert [fault.field for fault in SLACK.check(bad, {})] == ["target"]
    assert SLACK.check("http://127.0.0.1:9000/slack", {"host": "127.0.0.1:9000"}) == []
    assert SLACK.check("https://relay.example/x", {"host": "relay.example"}) == []
    assert [f.field for f in SLACK.check("https://other.example/x", {"host": "relay.example"})] == ["target"]
    assert [f.field for f in SLACK.check(URL, {"colour": "red"})] == ["options.colour"]


def test_an_address_is_never_shown_whole() -> None:
    assert SLACK.display(URL) == "https://hooks.slack.com/services/T024BE7LD/B024BE7LE/…"
    assert SLACK.display("https://relay.example/s3cr3t/x?k=s3cr3t") == "https://relay.example/…"
    assert SLACK.display("https://hooks.slack.com/services/s3cr3t") == "https://hooks.slack.com/services/…"
    assert SLACK.display("s3cr3t") == "…"
    assert "s3cr3t" not in repr(TARGET)
