"""Slack incoming webhooks, in Block Kit: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks

The address is the secret. Nothing here may ping anybody, whatever a prompt says: user text is plain text, or escaped
and verbatim, and `@` is followed by an invisible joiner.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from service.channels.address import faults, hook_faults, origin_only
from service.channels.base import FOLD_LIMIT, SETTLED_EVENTS, Notice, Target, declined, post_json
from service.channels.card import Card, card, headline, tidy
from service.domain.delivery import Gone, Outcome, Told
from service.domain.errors import Fault
from service.wire import Post, Reply

HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
HEADER_LIMIT = 150
TOLD_LIMIT = 500
"""Characters of one notice in a digest: escaping makes up to five of one, and a section holds 3,000."""
WORD_LIMIT = 80
"""Characters of an answer that are looked at: Slack answers with one word."""

FINAL_400 = ("invalid_payload", "user_not_found", "invalid_token", "no_active_hooks")
"""Of the 400s only these speak of the hook; any other speaks of one message, and the next may pass."""

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "@\u2060"})


class Slack:
    name = "slack"
    default_events: tuple[str, ...] = SETTLED_EVENTS
    folds = True
    signs = False

    def check(self, url: str, options: Mapping[str, str]) -> Sequence[Fault]:
        return hook_faults(url, options, "an incoming webhook, https://hooks.slack.com/services/…", _genuine)

    def compose(self, notices: Sequence[Notice], target: Target, now: int) -> Post:
        assert 1 <= len(notices) <= FOLD_LIMIT
        cards = [card(notice) for notice in notices]
        blocks = _message(cards[0]) if len(cards) == 1 else _digest(cards)
        body = {"text": _summary(cards), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}
        return post_json(target.url, body)

    def read(self, reply: Reply, now: int) -> Outcome:
        word = tidy(reply.body[:WORD_LIMIT].decode("utf-8", "replace"), WORD_LIMIT)
        match reply.status:
            case status if 200 <= status < 300:
                return Told()
            case 403 | 404 | 410:
                return Gone(f"Slack answered {reply.status}: {word}")
            case 400 if word in FINAL_400:
                return Gone(f"Slack answered 400: {word}")
            case _:
                return declined(reply, now, word)

    def display(self, url: str) -> str:
        # Workspace and app are no secrets, and tell two hooks apart; the last part is.
        if not faults(url) and _genuine(parts := urlsplit(url)):
            workspace_and_app = parts.path.split("/")[2:-1][:2]
            return "/".join((f"https://{parts.hostname}/services", *workspace_and_app, "…"))
        return origin_only(url)


def _genuine(parts: SplitResult) -> bool:
    # Workflow triggers live on the same host and take other bodies.
    return parts.netloc.lower() in HOSTS and parts.path.startswith("/services/")


def escape(text: str) -> str:
    return text.translate(_ENTITIES)


def _summary(cards: Sequence[Card]) -> str:
    """What a phone shows before the message is opened."""
    if len(cards) > 1:
        return escape(headline(cards))
    return escape(" · ".join(part for part in (f"{cards[0].mark} {cards[0].title}", cards[0].asked or cards[0].name) if part))


def _message(c: Card) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [_header(f"{c.mark} {c.title}")]
    if c.asked:
        blocks.append({"type": "section", "text": _plain(c.asked)})
    if c.trouble:
        blocks.append({"type": "section", "text": _marked(escape(c.trouble) + (f"\n_{escape(c.advice)}_" if c.advice else ""))})
    if c.facts:
        fields = [_marked(f"*{escape(label)}*\n{escape(value)}") for label, value in c.facts]
        blocks.append({"type": "section", "fields": fields})
    if buttons := [
        _button(label, url, name)
        for label, url, name in (("Open video", c.video_url, "video"), ("Open task", c.task_url, "task"))
        if url
    ]:
        blocks.append({"type": "actions", "elements": buttons})
    if c.name:
        blocks.append({"type": "context", "elements": [_plain(c.name)]})
    return blocks


def _digest(cards: Sequence[Card]) -> list[dict[str, Any]]:
    """Every notice has its own line: folding leaves nothing unsaid."""
    blocks = [_header(headline(cards))]
    for c in cards:
        told = escape(tidy(" · ".join(part for part in (c.asked, c.trouble, c.name) if part), TOLD_LIMIT))
        block: dict[str, Any] = {
            "type": "section",
            "text": _marked(f"{c.mark} *{escape(c.title)}*" + (f"\n{told}" if told else "")),
        }
        if c.video_url or c.task_url:
            label, name = ("Open video", "video") if c.video_url else ("Open task", "task")
            block["accessory"] = _button(label, c.video_url or c.task_url or "", name)
        blocks.append(block)
    return blocks


def _header(text: str) -> dict[str, Any]:
    cut = escape(text)
    while len(cut) > HEADER_LIMIT:
        text = text[:-2] + "…"
        cut = escape(text)
    return {"type": "header", "text": {"type": "plain_text", "text": cut, "emoji": False}}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": escape(text), "emoji": False}


def _marked(text: str) -> dict[str, Any]:
    """Verbatim: Slack shall not look for names and addresses in it by itself."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _button(label: str, url: str, name: str) -> dict[str, Any]:
    return {"type": "button", "text": {"type": "plain_text", "text": label}, "url": url, "action_id": name}
