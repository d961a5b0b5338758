"""Microsoft Teams, by the workflow "Post to a channel when a webhook request is received": one Adaptive Card a message.

The address is the secret. User text stands in text runs, where Teams reads neither Markdown nor mentions.
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult

from service.channels.address import hook_faults, origin_only
from service.channels.base import FOLD_LIMIT, SETTLED_EVENTS, Notice, Target, declined, post_json
from service.channels.card import Card, card, headline, tidy
from service.domain.delivery import Gone, Outcome, Told
from service.domain.errors import Fault
from service.wire import Post, Reply

LINE_LIMIT = 120
LINE_URL_LIMIT = 300
"""Characters of text and of an address in a digest's line: twenty lines of four-byte characters stay under 21 KB, where
Teams begins to refuse although it documents 28."""
HOSTS = (".logic.azure.com", ".api.powerplatform.com", ".webhook.office.com")


class Teams:
    name = "teams"
    default_events: tuple[str, ...] = SETTLED_EVENTS
    folds = True
    signs = False

    def check(self, url: str, options: Mapping[str, str]) -> Sequence[Fault]:
        return hook_faults(url, options, f"a workflow's address, on a host under {', '.join(HOSTS)}", _genuine)

    def compose(self, notices: Sequence[Notice], target: Target, now: int) -> Post:
        assert 1 <= len(notices) <= FOLD_LIMIT
        cards = [card(notice) for notice in notices]
        content = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "msteams": {"width": "Full"},
            **(_message(cards[0]) if len(cards) == 1 else _digest(cards)),
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
        body = {"type": "message", "attachments": [attachment]}
        return post_json(target.url, body)

    def read(self, reply: Reply, now: int) -> Outcome:
        match reply.status:
            case status if 200 <= status < 300:
                return Told()
            case 401 | 403 | 404 | 410:
                return Gone(f"Teams answered {reply.status}: the workflow is gone, or its address was renewed")
            case _:
                return declined(reply, now)

    def display(self, url: str) -> str:
        return origin_only(url)


def _genuine(parts: SplitResult) -> bool:
    return (parts.hostname or "").endswith(HOSTS)


def _message(c: Card) -> dict[str, Any]:
    body = [_title(f"{c.mark} {c.title}")]
    body += [_runs(_run(text)) for text in (c.asked, c.trouble, c.advice) if text]
    body += [_runs(_run(f"{label}: ", weight="Bolder"), _run(value)) for label, value in c.facts]
    if c.name:
        body.append(_runs(_run(c.name, isSubtle=True)))
    links = (("Open video", c.video_url), ("Open task", c.task_url))
    return {"body": body, "actions": [{"type": "Action.OpenUrl", "title": title, "url": url} for title, url in links if url]}


def _digest(cards: Sequence[Card]) -> dict[str, Any]:
    body = [_title(headline(cards))]
    for c in cards:
        told = _run(tidy(c.asked or c.trouble or c.name or c.title, LINE_LIMIT))
        title = _run(f"{c.mark} {c.title}  ", weight="Bolder")
        if c.task_url and len(c.task_url) <= LINE_URL_LIMIT:
            title["selectAction"] = {"type": "Action.OpenUrl", "url": c.task_url}
        body.append(_runs(title, told))
    return {"body": body}


def _title(text: str) -> dict[str, Any]:
    return _runs(_run(text, size="Large", weight="Bolder"))


def _runs(*inlines: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(inlines)}


def _run(text: str, **look: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **look}
