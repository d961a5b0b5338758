"""Tasks: order one, list them, look at one, withdraw one."""

import inspect
import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from service.cli import tables
from service.cli.client import Ask, Trouble
from service.cli.verb import Out, plain, verb
from service.cli.watching import follow
from service.domain.lifecycle import State
from service.domain.order import Order

BAD = (State.FAILED, State.CANCELLED, State.EXPIRED, State.LOST)
_HELP = {
    "model": "e.g. seedance-1-0-pro-250528",
    "duration": "Seconds.",
    "execution_expires_after": "Seconds until the order runs out.",
    "provider": "This gateway and no other.",
    "callback_url": "Who is told about this one task.",
}
OPTIONS = [
    inspect.Parameter(
        f.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[cast(Any, f.type) | None, typer.Option(help=_HELP.get(f.name))],
    )
    for f in fields(Order)
    if f.name not in ("prompt", "content", "tools", "metadata")
]
"""Every plain field of an order, so that a new one is an option at once."""

Pairs = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="May be given several times.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.")]
Address = Annotated[str | None, typer.Option(metavar="URL")]


def register(app: typer.Typer) -> None:
    verb(app, more=OPTIONS)(submit)
    for act in (tasks, show, cancel, reconcile, resolve, forget):
        verb(app)(act)


def submit(
    ask: Ask,
    out: Out,
    prompt: Annotated[str | None, typer.Argument(help="What the video shows.")] = None,
    file: Annotated[str | None, typer.Option(metavar="FILE|-", help="A whole order as JSON; options go over it.")] = None,
    first_frame: Address = None,
    last_frame: Address = None,
    reference_image: Annotated[list[str] | None, typer.Option(metavar="URL", help="May be given several times.")] = None,
    tool: Annotated[list[str] | None, typer.Option(metavar="TYPE", help="May be given several times.")] = None,
    metadata: Pairs = None,
    idempotency_key: Annotated[str | None, typer.Option(metavar="KEY", help="Same key, same task. Default: a new one.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, route and estimate; place nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended.")] = False,
    **said: Any,
) -> int | None:
    """Order a video. Exit code 1 when the order failed; with --wait: unless it succeeded.

    \b
    callsheet submit "A lighthouse at dusk" --model seedance-1-0-pro-250528 --wait
    callsheet submit --file order.json --metadata team=film --dry-run
    """
    pictures = [(role, url) for role, url in (("first_frame", first_frame), ("last_frame", last_frame)) if url]
    pictures += [("reference_image", url) for url in reference_image or ()]
    order = compose(_read(file), {"prompt": prompt} | said, pictures, tool or (), labels(metadata))
    if "model" not in order:
        raise typer.BadParameter("an order needs --model, or a --file that names one", param_hint="--model")
    if dry_run:
        checked = ask.post("/v1/tasks", order, dry_run="true")
        out.show(checked, tables.pairs(checked))
        return None
    key = idempotency_key or secrets.token_urlsafe(18)
    try:
        task = ask.place(order, key)
    except Trouble as trouble:
        if trouble.problem["type"] == "about:silent":
            trouble.problem["detail"] += f"; the same order with --idempotency-key {key} cannot be placed twice"
        raise
    if wait:
        task = follow(ask, out, task["id"])
    out.show(task, tables.task(task))
    return int(task["state"] in BAD or (wait and task["state"] != State.SUCCEEDED))


def compose(
    base: Mapping[str, Any],
    said: Mapping[str, Any],
    pictures: Sequence[tuple[str, str]],
    tools: Sequence[str],
    metadata: Mapping[str, str],
) -> dict[str, Any]:
    """The order of a file, with what the command line says over it."""
    order = {**base, **{name: value for name, value in said.items() if value is not None}}
    if pictures:
        items = [{"type": "image_url", "image_url": {"url": url}, "role": role} for role, url in pictures]
        order["content"] = [*order.get("content", ()), *items]
    if tools:
        order["tools"] = [{"type": kind} for kind in tools]
    if metadata:
        order["metadata"] = {**order.get("metadata", {}), **metadata}
    return order


def labels(given: Sequence[str] | None) -> dict[str, str]:
    parted = [pair.partition("=") for pair in given or ()]
    for name, equals, _ in parted:
        if not (name and equals):
            raise typer.BadParameter(f"{name!r} is not NAME=VALUE")
    return {name: value for name, _, value in parted}


def _read(file: str | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        order = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
    except OSError as error:
        raise typer.BadParameter(f"cannot be read: {error.strerror}", param_hint="--file") from None
    except ValueError as error:
        raise typer.BadParameter(f"is not JSON: {error}", param_hint="--file") from None
    if not isinstance(order, dict):
        raise typer.BadParameter("has to hold a JSON object, an order", param_hint="--file")
    return order


def tasks(
    ask: Ask,
    out: Out,
    state: Annotated[str | None, typer.Option(help="One, or several with commas.")] = None,
    model: str | None = None,
    provider: str | None = None,
    created_after: Annotated[str | None, typer.Option(metavar="INSTANT", help="e.g. 2026-11-20T22:33:00Z")] = None,
    created_before: Annotated[str | None, typer.Option(metavar="INSTANT")] = None,
    metadata: Pairs = None,
    limit: Limit = 50,
) -> None:
    """List tasks, the newest first.

    \b
    callsheet tasks --state queued,running --metadata team=film
    """
    named = {f"metadata.{name}": value for name, value in labels(metadata).items()}
    query = {"state": state, "model": model, "provider": provider, **named}
    page = ask.pages("/v1/tasks", limit, **query, created_after=created_after, created_before=created_before)
    out.show(page, tables.tasks(page))


def show(
    ask: Ask,
    out: Out,
    name: Annotated[str, typer.Argument(metavar="ID", callback=plain, help="task_…, sub_… or msg_… (a delivery)")],
    timeline: Annotated[bool, typer.Option("--timeline", help="Everything that happened to a task.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Why a task is where it is, and what happens next.")] = False,
) -> None:
    """Look at one task, subscription or delivery.

    \b
    callsheet show task_… --timeline
    """
    match name.partition("_")[0], timeline or explain:
        case "task", True if explain:
            document = ask.get(f"/v1/tasks/{name}/explain")
            out.show(document, tables.pairs({k: v for k, v in document.items() if k != "object"}))
        case "task", True:
            document = ask.get(f"/v1/tasks/{name}/timeline")
            out.show(document, [tables.happened(entry) for entry in document["data"]])
        case "task", _:
            document = ask.get(f"/v1/tasks/{name}")
            out.show(document, tables.task(document))
        case "sub", False:
            document = ask.get(f"/v1/subscriptions/{name}")
            out.show(document, tables.subscription(document))
        case "msg", False:
            document = ask.get(f"/v1/deliveries/{name}")
            out.show(document, tables.delivery(document))
        case _:
            raise typer.BadParameter("is no task_…, sub_… or msg_…; only tasks have a timeline", param_hint="ID")


def cancel(ask: Ask, out: Out, task: Annotated[str, typer.Argument(metavar="TASK", callback=plain)]) -> None:
    """Withdraw an order: at once while nothing was placed, at the provider while it is queued there."""
    document = ask.post(f"/v1/tasks/{task}/cancel")
    out.show(document, tables.task(document))


def reconcile(
    ask: Ask,
    out: Out,
    task: Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="None: all that a provider has.")] = None,
    limit: Limit = 1_000,
) -> int:
    """Have providers asked now how tasks stand, within the limits of their accounts; `watch` shows what comes of it.

    \b
    callsheet reconcile task_…
    callsheet reconcile
    """
    named = [name for name in task or () if plain(name)]
    data = []
    for name in named or _placed(ask, limit):
        try:
            now = ask.post(f"/v1/tasks/{name}/ask")
            data.append({"task": name, "asked": True, "state": now["state"], "why_not": None})
        except Trouble as trouble:
            if trouble.problem.get("status") not in (404, 409):
                raise
            data.append({"task": name, "asked": False, "state": None, "why_not": trouble.problem["detail"]})
    rows = [(e["task"], "asked" if e["asked"] else "not asked", e["state"], e["why_not"]) for e in data]
    lines = tables.table(("task", "", "state", "why not"), rows, "No provider has a task of yours.", tables.WHOLE)
    out.show({"object": "list", "data": data, "next": None}, lines)
    return int(bool(named) and not all(e["asked"] for e in data))


def _placed(ask: Ask, limit: int) -> list[str]:
    """Tasks that a provider has, or may have."""
    page = ask.pages("/v1/tasks", limit, state="created,queued,running")
    found = [t for t in page["data"] if t["state"] != State.CREATED or str(t["reason"]).startswith("unknown_outcome")]
    return [t["id"] for t in found]


def resolve(
    ask: Ask,
    out: Out,
    task: Annotated[str, typer.Argument(metavar="TASK", callback=plain)],
    outcome: Annotated[str, typer.Argument(metavar="never_happened|accepted", help="What you found out at the provider.")],
    remote_id: Annotated[
        str | None, typer.Argument(metavar="REMOTE_ID", help="With accepted: the provider's id, cgt-…")
    ] = None,
) -> None:
    """Say what became of an order whose answer got lost, and that nothing else could explain.

    \b
    callsheet resolve task_… never_happened        place it again
    callsheet resolve task_… accepted cgt-…        it did happen, under this id
    """
    told = {"outcome": outcome} | ({} if remote_id is None else {"remote_id": remote_id})
    document = ask.post(f"/v1/tasks/{task}/resolve", told)
    out.show(document, tables.task(document))


def forget(ask: Ask, out: Out, task: Annotated[str, typer.Argument(metavar="TASK", callback=plain)]) -> None:
    """Erase what is personal about an ended task (prompt, media, metadata, bodies); what happened when stays."""
    document = ask.post(f"/v1/tasks/{task}/forget")
    out.show(document, [f"{task} is forgotten."])
