"""Discord webhooks, one embed a message: https://docs.discord.com/developers/resources/webhook

The address is the secret. `allowed_mentions` is empty, so nothing pings; escaping keeps prompts from being markup.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult

from service.channels.address import hook_faults, origin_only
from service.channels.base import FOLD_LIMIT, SETTLED_EVENTS, Notice, Target, declined, post_json
from service.channels.card import Card, card, headline, tidy
from service.domain.delivery import Gone, Outcome, Throttled, Told
from service.domain.errors import Fault
from service.wire import NotJSON, Post, Reply, parse

HOSTS = ("discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com")
TITLE_LIMIT = 256
LINE_LIMIT = 75
LINE_URL_LIMIT = 100
"""Characters of text (escaping doubles them) and of an address in a digest's line: ten lines fit into a description's
4,096, and twenty into the 6,000 of a message. A signed video URL is longer than a whole line may be."""
LINK_LIMIT = 1_000

_MARKUP = re.compile(r"([\\*_~`|>\[\]()#<:@-])")


class Discord:
    name = "discord"
    default_events: tuple[str, ...] = SETTLED_EVENTS
    folds = True
    signs = False

    def check(self, url: str, options: Mapping[str, str]) -> Sequence[Fault]:
        return hook_faults(url, options, "a webhook, https://discord.com/api/webhooks/…", _genuine)

    def compose(self, notices: Sequence[Notice], target: Target, now: int) -> Post:
        assert 1 <= len(notices) <= FOLD_LIMIT
        cards = [card(notice) for notice in notices]
        embeds = [_message(cards[0])] if len(cards) == 1 else _digest(cards)
        body = {"embeds": embeds, "allowed_mentions": {"parse": []}}
        return post_json(target.url, body)

    def read(self, reply: Reply, now: int) -> Outcome:
        match reply.status, _body(reply):
            case status, _ if 200 <= status < 300:
                return Told()
            case 429, {"retry_after": int() | float() as pause_s} if pause_s >= 0:
                return Throttled("answered 429", float(pause_s))
            case (401 | 403 | 404) as status, {"message": str(message)}:
                return Gone(f"Discord answered {status}: {tidy(message, TITLE_LIMIT)}")
            case _, {"message": str(message)}:
                return declined(reply, now, tidy(message, TITLE_LIMIT))
            case _:
                return declined(reply, now)

    def display(self, url: str) -> str:
        return origin_only(url)


def _genuine(parts: SplitResult) -> bool:
    return parts.netloc.lower() in HOSTS and re.match(r"/api(/v\d+)?/webhooks/", parts.path) is not None


def escape(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)


def _message(c: Card) -> dict[str, Any]:
    parts = [escape(c.asked)]
    if c.trouble:
        parts.append(escape(c.trouble) + (f"\n{escape(c.advice)}" if c.advice else ""))
    if c.video_url:
        parts.append(_linked("Open task", c.task_url, LINK_LIMIT))
    embed = {
        "title": f"{c.mark} {c.title}"[:TITLE_LIMIT],
        "url": c.video_url or c.task_url,
        "description": "\n\n".join(part for part in parts if part),
        "fields": [{"name": escape(label), "value": escape(value), "inline": True} for label, value in c.facts],
        "footer": {"text": c.name} if c.name else None,
    }
    return {key: value for key, value in embed.items() if value}


def _digest(cards: Sequence[Card]) -> list[dict[str, Any]]:
    half = FOLD_LIMIT // 2
    embeds = [{"description": "\n".join(_line(c) for c in part)} for part in (cards[:half], cards[half:]) if part]
    embeds[0]["title"] = headline(cards)[:TITLE_LIMIT]
    return embeds


def _line(c: Card) -> str:
    title = escape(c.title[:30])
    told = escape(tidy(c.asked or c.trouble or c.name, LINE_LIMIT - len(c.title[:30])))
    return f"{c.mark} {_linked(title, c.task_url, LINE_URL_LIMIT) or title} {told}".rstrip()


def _linked(label: str, url: str | None, limit: int) -> str:
    quoted = (url or "").replace("(", "%28").replace(")", "%29")
    return f"[{label}]({quoted})" if 0 < len(quoted) <= limit else ""


def _body(reply: Reply) -> Any:
    try:
        return parse(reply.body)
    except NotJSON:
        return None
