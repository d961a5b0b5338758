"""Subscriptions and what they were told."""

from typing import Annotated, Any

import typer

from service.cli import tables
from service.cli.client import Ask
from service.cli.orders import Limit, Pairs, labels
from service.cli.verb import First, Out, plain, verb

Name = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", callback=plain, help="sub_…")]
Delivery = Annotated[str, typer.Argument(metavar="DELIVERY", callback=plain, help="msg_…")]
Several = Annotated[str | None, typer.Option(metavar="A,B,…")]
Options = Annotated[
    list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="Of the channel, e.g. signature=v1a; several times.")
]
Schedule = Annotated[
    str | None,
    typer.Option(
        metavar="SECONDS", help="Before each retry, with commas: 5,60,3600; `none`: one attempt, `default`: three days."
    ),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=First.of("add"), no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(group, name="subscribe", help="Who is told: `subscribe URL` adds one.")
    verb(group, "list")(listed)
    for act in (add, change, remove, test, pause, resume, rotate, recover):
        verb(group)(act)
    verb(app)(deliveries)
    verb(app)(jobs)
    verb(app)(resend)


def add(
    ask: Ask,
    out: Out,
    target: Annotated[str, typer.Argument(metavar="URL", help="The webhook's address, or Slack's, Discord's, Teams'.")],
    channel: Annotated[str, typer.Option(help="webhook, slack, discord or teams")] = "webhook",
    events: Annotated[str | None, typer.Option(metavar="PATTERNS", help="With commas, e.g. task.succeeded,task.failed")] = None,
    model: Several = None,
    provider: Several = None,
    metadata: Pairs = None,
    header: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Sent along; several times.")] = None,
    rate: Annotated[int | None, typer.Option(help="At most this many a second.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="At most this many at once.")] = None,
    schedule: Schedule = None,
    option: Options = None,
    label: Annotated[str | None, typer.Option(help="For people.")] = None,
) -> None:
    """Subscribe an address. A webhook's secret is shown this once.

    \b
    callsheet subscribe https://example.com/hook --events task.succeeded,task.failed
    callsheet subscribe https://hooks.slack.com/services/… --channel slack --metadata team=film
    callsheet subscribe https://example.com/hook --option signature=v1a --schedule 5,60,3600
    """
    wanted = _changes(events, model, provider, metadata, header, rate, concurrency, schedule, option, label)
    made = ask.post("/v1/subscriptions", {"channel": channel, "target": target} | wanted)
    out.show(made, tables.subscription(made))


def listed(ask: Ask, out: Out, limit: Limit = 50) -> None:
    """List them, the newest first."""
    page = ask.pages("/v1/subscriptions", limit)
    out.show(page, tables.subscriptions(page))


def change(
    ask: Ask,
    out: Out,
    name: Name,
    target: Annotated[str | None, typer.Option(metavar="URL")] = None,
    events: Annotated[str | None, typer.Option(metavar="PATTERNS")] = None,
    model: Several = None,
    provider: Several = None,
    metadata: Pairs = None,
    header: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE")] = None,
    rate: int | None = None,
    concurrency: int | None = None,
    schedule: Schedule = None,
    option: Options = None,
    label: str | None = None,
) -> None:
    """Change one; what is not named stays as it is."""
    changes = _changes(events, model, provider, metadata, header, rate, concurrency, schedule, option, label)
    if target is not None:
        changes["target"] = target
    if not changes:
        raise typer.BadParameter("nothing to change was named")
    _shown(out, ask.patch(f"/v1/subscriptions/{name}", changes))


def remove(ask: Ask, out: Out, name: Name) -> None:
    """Remove one; what it was not told yet is never sent."""
    ask.delete(f"/v1/subscriptions/{name}")
    out.show({"id": name, "object": "subscription", "removed": True}, [f"{name} is removed."])


def test(ask: Ask, out: Out, name: Name) -> None:
    """Send it a test notice."""
    sent = ask.post(f"/v1/subscriptions/{name}/test")
    name, reason = sent["delivery"], sent["reason"]
    waits = f"A test notice waits: {name}; {reason}; not before {sent['due_at']}"
    out.show(sent, [waits if reason else f"A test notice is on its way: {name}", f"How it went: callsheet show {name}"])


def pause(ask: Ask, out: Out, name: Name) -> None:
    """Stop and keep what it would have been told."""
    _shown(out, ask.post(f"/v1/subscriptions/{name}/pause"))


def resume(ask: Ask, out: Out, name: Name) -> None:
    """Go on, with what was kept; also after it was disabled for failing."""
    _shown(out, ask.post(f"/v1/subscriptions/{name}/resume"))


def rotate(ask: Ask, out: Out, name: Name) -> None:
    """A new secret, shown this once, or a new public key; the old one signs along for a day."""
    _shown(out, ask.post(f"/v1/subscriptions/{name}/rotate"))


def recover(
    ask: Ask,
    out: Out,
    name: Name,
    since: Annotated[str, typer.Option(metavar="INSTANT", help="e.g. 2026-11-20T22:33:00Z")],
) -> None:
    """Send again everything since then that it was never told; goes on by itself, also over a restart."""
    job = ask.post(f"/v1/subscriptions/{name}/recover", {"since": since})
    out.show(job, tables.pairs(job))


def jobs(ask: Ask, out: Out, name: Annotated[str | None, typer.Argument(metavar="JOB", callback=plain)] = None) -> None:
    """How far long work is (recover, forget-app, reencrypt): all of it, or one job."""
    if name is not None:
        job = ask.get(f"/v1/jobs/{name}")
        out.show(job, tables.pairs(job))
        return
    page = ask.pages("/v1/jobs", 50)
    out.show(page, [line for job in page["data"] for line in [*tables.pairs(job), ""]] or ["No jobs."])


def deliveries(
    ask: Ask,
    out: Out,
    state: Annotated[str | None, typer.Option(help="pending, delivered, abandoned or skipped")] = None,
    subscription: Annotated[str | None, typer.Option(metavar="sub_…")] = None,
    task: Annotated[str | None, typer.Option(metavar="task_…")] = None,
    created_after: Annotated[str | None, typer.Option(metavar="INSTANT", help="e.g. 2026-11-20T22:33:00Z")] = None,
    limit: Limit = 50,
) -> None:
    """List deliveries, the newest first; `show msg_…` has each attempt."""
    query = {"state": state, "subscription": subscription, "task": task, "created_after": created_after}
    page = ask.pages("/v1/deliveries", limit, **query)
    out.show(page, tables.deliveries(page))


def resend(ask: Ask, out: Out, delivery: Delivery) -> None:
    """Send one delivery again, now: the same notice under the same name."""
    document = ask.post(f"/v1/deliveries/{delivery}/resend")
    out.show(document, tables.delivery(document))


def _shown(out: Out, subscription: Any) -> None:
    out.show(subscription, tables.subscription(subscription))


def _changes(
    events: str | None,
    model: str | None,
    provider: str | None,
    metadata: list[str] | None,
    header: list[str] | None,
    rate: int | None,
    concurrency: int | None,
    schedule: str | None,
    option: list[str] | None,
    label: str | None,
) -> dict[str, Any]:
    chosen = {"model": _parts(model), "provider": _parts(provider), "metadata": labels(metadata)}
    said = {
        "events": _parts(events),
        "filter": {name: value for name, value in chosen.items() if value},
        "headers": labels(header),
        "rate": rate,
        "concurrency": concurrency,
        "options": labels(option),
        "label": label,
    }
    named = {name: value for name, value in said.items() if value not in (None, [], {})}
    return named if schedule is None else named | {"schedule": _pauses(schedule)}


def _pauses(text: str) -> list[int] | None:
    if text in ("none", "default"):
        return [] if text == "none" else None
    try:
        return [int(part) for part in _parts(text)]
    except ValueError:
        raise typer.BadParameter(f"--schedule {text!r}: write whole seconds with commas, `none` or `default`") from None


def _parts(text: str | None) -> list[str]:
    return [part for part in (p.strip() for p in (text or "").split(",")) if part]
