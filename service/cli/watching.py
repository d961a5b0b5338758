"""Follow what happens: one task to its end, or everything until Ctrl-C."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import httpx
import typer

from service.cli import tables
from service.cli.client import PAUSES_S, Ask, Trouble
from service.cli.verb import Out, plain, verb
from service.domain.lifecycle import SETTLED, State

LOOK_EVERY_S = 10
"""A change between two questions is seen this late at most; an ending at once."""
SILENCE_S = 45.0
"""Three heartbeats of the live feed."""


def register(app: typer.Typer) -> None:
    verb(app)(watch)


def watch(
    ask: Ask,
    out: Out,
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", callback=plain, help="Without one: the whole feed.")] = None,
    events: Annotated[str | None, typer.Option(metavar="PATTERNS", help="Of the feed: e.g. task.succeeded,task.failed")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Of the feed: end after this many.")] = None,
) -> int | None:
    """Follow one task until it has ended (1 unless it succeeded), or the whole feed until Ctrl-C.

    With --json the feed is one JSON document a line.

    \b
    callsheet watch task_…
    callsheet watch --events 'task.*' --json
    """
    if task is None:
        try:
            feed(ask, out, events, count)
        except KeyboardInterrupt:
            return 0
        return None
    ended = follow(ask, out, task)
    out.show(ended, ["", *tables.task(ended)])
    return int(ended["state"] != State.SUCCEEDED)


def follow(ask: Ask, out: Out, task: str) -> Any:
    """Says each thing that happens to a task as it happens; the task once it has ended."""
    said: set[str] = set()
    while True:
        timeline = ask.get(f"/v1/tasks/{task}/timeline")
        for line in map(tables.happened, timeline["data"]):
            if line not in said:
                said.add(line)
                out.note(line)
        if timeline["state"] in SETTLED:
            return ask.get(f"/v1/tasks/{task}")
        ask.get(f"/v1/tasks/{task}", wait_s=LOOK_EVERY_S)


def feed(ask: Ask, out: Out, events: str | None, count: int | None) -> None:
    """From now on. After a lost connection it goes on where it was: nothing is missed, nothing comes twice."""
    place: str | None = None
    heard = failed = 0
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": place} if place else {})
        try:
            with ask.stream("/v1/events", headers, SILENCE_S, events=events) as answer:
                out.note(f"Listening at {ask.url}; Ctrl-C ends it.")
                for name, kind, data in frames(lines(answer.iter_bytes())):
                    place, failed = name or place, 0
                    if not data:
                        continue
                    say(out, name, kind, json.loads(data))
                    heard += 1
                    if heard == count:
                        return
        except httpx.TransportError as error:
            if place is None and isinstance(error, httpx.ConnectError):
                raise ask.silent(error) from None
        except Trouble as trouble:
            if trouble.problem.get("status") != 503:
                raise
        out.note("The connection is gone; trying again.")
        time.sleep(PAUSES_S[min(failed, len(PAUSES_S) - 1)])
        failed += 1


def say(out: Out, place: str, kind: str, notice: Any) -> None:
    if out.as_json:
        typer.echo(json.dumps({"cursor": place, "type": kind, "notice": notice}, ensure_ascii=False))
        return
    match notice:
        case {"timestamp": at, "data": {"sequence": sequence, "task": {"id": task, "model": model, "provider": provider}}}:
            line = f"{at}  {kind:<14}  {task}  #{sequence}  {model}  {provider or '-'}"
        case {"timestamp": at, "data": {"message": message, **rest}}:
            line = f"{at}  {kind}  {rest.get('task_id') or rest.get('subscription_id') or ''}  {message}"
        case _:
            line = f"{kind}  {json.dumps(notice)}"
    typer.echo(tables.clean(line, 300))


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """By line feeds alone: a prompt may hold characters that other readers take for the end of a line."""
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").removesuffix("\r")


def frames(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Server-sent events: (id, event, data); without data it only says where we are. Comments say nothing at all."""
    given: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line:
            if name:
                value = value.removeprefix(" ")
                given[name] = f"{given[name]}\n{value}" if name == "data" and "data" in given else value
        else:
            if given:
                yield given.get("id", ""), given.get("event", ""), given.get("data", "")
            given = {}
