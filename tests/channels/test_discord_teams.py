from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.channels.base import FOLD_LIMIT, SETTLED_EVENTS, Notice, Target
from service.channels.discord import Discord
from service.channels.registry import CHANNELS
from service.channels.teams import Teams
from service.domain.delivery import Failed, Gone, Outcome, Throttled, Told
from tests.channels.samples import HOSTILE, NOW, TEXTS, notice, reply, said, task, worst

DISCORD, TEAMS = Discord(), Teams()
DISCORD_URL = "https://discord.com/api/webhooks/123/s3cr3t"
TEAMS_URL = "https://prod-01.westeurope.logic.azure.com:443/workflows/s3cr3t/triggers/manual/paths/invoke?sig=s3cr3t"
many = st.lists(HOSTILE, min_size=1, max_size=4)


def embeds(*notices: Notice) -> list[dict[str, Any]]:
    body = said(DISCORD.compose(notices, Target(DISCORD_URL), NOW).request())
    assert body["allowed_mentions"] == {"parse": []}
    found: list[dict[str, Any]] = body["embeds"]
    return found


def test_the_registry_names_every_channel_by_its_own_name() -> None:
    assert list(CHANNELS) == ["webhook", "slack", "discord", "teams"]
    assert [channel.folds for channel in CHANNELS.values()] == [False, True, True, True]
    assert CHANNELS["webhook"].default_events == ("task.*",)
    assert CHANNELS["slack"].default_events == SETTLED_EVENTS
    assert "task.running" not in SETTLED_EVENTS


def test_discord_is_told_in_one_embed_that_leads_to_the_video() -> None:
    (embed,) = embeds(notice())
    assert embed["title"] == "✅ Video ready"
    assert embed["url"] == "https://cdn.example.com/v.mp4?sig=abc"
    assert embed["description"].startswith("A cat walks over a piano\n\n[Open task](https://callsheet.example.com/")


def test_a_prompt_is_no_markup_in_discord() -> None:
    (embed,) = embeds(notice(task(order={"prompt": "[click](https://evil.example) **x** <@1>"})))
    assert embed["description"].startswith(r"\[click\]\(https\://evil.example\) \*\*x\*\* \<\@1\>")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(many)
def test_discords_limits_hold_for_whatever_tasks_contain(notices: list[Notice]) -> None:
    assert_discord_takes(notices)


def assert_discord_takes(notices: Sequence[Notice]) -> None:
    found = embeds(*notices)
    total = 0
    for embed in found:
        fields = embed.get("fields", [])
        assert len(embed.get("title", "")) <= 256
        assert len(embed.get("description", "")) <= 4_096
        assert len(fields) <= 25
        assert all(0 < len(f["name"]) <= 256 and 0 < len(f["value"]) <= 1_024 for f in fields)
        total += len(embed.get("title", "") + embed.get("description", "") + embed.get("footer", {"text": ""})["text"])
        total += sum(len(f["name"] + f["value"]) for f in fields)
    assert len(found) <= 10
    assert total <= 6_000
    if len(notices) > 1:
        assert sum(len(embed["description"].split("\n")) for embed in found) == len(notices)


@pytest.mark.parametrize("count", [1, FOLD_LIMIT])
@pytest.mark.parametrize("letter", ["*", "🎬"])
def test_the_longest_tasks_fit_into_a_discord_message(letter: str, count: int) -> None:
    assert_discord_takes([worst(letter)] * count)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (204, {}, Told()),
        (429, {"message": "You are being rate limited.", "retry_after": 0.7}, Throttled("answered 429", 0.7)),
        (404, {"message": "Unknown Webhook", "code": 10015}, Gone("Discord answered 404: Unknown Webhook")),
        (401, {"message": "Invalid Webhook Token", "code": 50027}, Gone("Discord answered 401: Invalid Webhook Token")),
        (404, "a page of somebody else", Failed("answered 404", "404")),
        (400, {"message": "Invalid Form Body"}, Failed("answered 400: Invalid Form Body", "400")),
        (502, "", Throttled("answered 502", None)),
    ],
)
def test_what_discord_answers_is_understood(status: int, body: object, outcome: Outcome) -> None:
    assert DISCORD.read(reply(status, orjson.dumps(body)), NOW) == outcome


def test_what_is_no_json_from_discord_is_a_failure() -> None:
    assert DISCORD.read(reply(500, b"<html>"), NOW) == Failed("answered 500", "500")


def teams_card(*notices: Notice) -> dict[str, Any]:
    (attachment,) = said(TEAMS.compose(notices, Target(TEAMS_URL), NOW).request())["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    content: dict[str, Any] = attachment["content"]
    return content


def test_teams_is_told_in_a_card_with_both_buttons() -> None:
    content = teams_card(notice())
    assert content["type"] == "AdaptiveCard"
    assert [action["title"] for action in content["actions"]] == ["Open video", "Open task"]
    assert content["body"][0]["inlines"][0]["text"] == "✅ Video ready"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(many, TEXTS)
def test_a_teams_message_is_small_and_holds_plain_runs_only(notices: list[Notice], text: str) -> None:
    assert_teams_takes([*notices[1:], notice(task(order={"prompt": text}))])


@pytest.mark.parametrize("count", [1, FOLD_LIMIT])
@pytest.mark.parametrize("letter", ['"', "🎬"])
def test_the_longest_tasks_fit_into_a_teams_message(letter: str, count: int) -> None:
    assert_teams_takes([worst(letter)] * count)


def assert_teams_takes(notices: Sequence[Notice]) -> None:
    request = TEAMS.compose(notices, Target(TEAMS_URL), NOW).request()
    assert len(request.content) <= 21_000
    for block in said(request)["attachments"][0]["content"]["body"]:
        assert block["type"] == "RichTextBlock"
        assert all(run["type"] == "TextRun" and run["text"] for run in block["inlines"])


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (202, Told()),
        (401, Gone("Teams answered 401: the workflow is gone, or its address was renewed")),
        (404, Gone("Teams answered 404: the workflow is gone, or its address was renewed")),
        (400, Failed("answered 400", "400")),
        (429, Throttled("answered 429", 30.0)),
    ],
)
def test_what_teams_answers_is_understood(status: int, outcome: Outcome) -> None:
    assert TEAMS.read(reply(status, retry_after="30"), NOW) == outcome


def test_both_take_their_own_hosts_only_and_show_no_path() -> None:
    assert DISCORD.check(DISCORD_URL, {}) == []
    assert DISCORD.check("https://discord.com/api/v10/webhooks/1/x", {}) == []
    assert TEAMS.check(TEAMS_URL, {}) == []
    assert DISCORD.check("https://evil.example/api/webhooks/1/x", {})[0].field == "target"
    assert DISCORD.check("https://discord.com/invite/x", {})[0].field == "target"
    assert TEAMS.check("https://logic.azure.com.evil.example/x", {})[0].field == "target"
    assert TEAMS.check("http://localhost:9000/teams", {"host": "localhost"}) == []
    assert DISCORD.display(DISCORD_URL) == "https://discord.com/…"
    assert TEAMS.display(TEAMS_URL) == "https://prod-01.westeurope.logic.azure.com:443/…"
