"""The verbs that stand alone: they run the service, or look at what it would run on. What they need is imported when they
are called: the tables alone take longer to import than a whole request of the other verbs."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from service.cli import tables
from service.cli.client import Trouble
from service.cli.verb import Out, verb
from service.settings import load, shown

Host = Annotated[str | None, typer.Option(help="Default: HOST, or 127.0.0.1.")]
Port = Annotated[int | None, typer.Option(min=0, max=65_535, help="Default: PORT, or 8000.")]


def register(app: typer.Typer) -> None:
    for act in (serve, work, migrate, backup, restore, settings, doctor, sandbox):
        verb(app)(act)


def serve(
    out: Out,
    host: Host = None,
    port: Port = None,
    no_loops: Annotated[bool, typer.Option("--no-loops", help="HTTP only; `work` runs the loops (PostgreSQL).")] = False,
) -> None:
    """Run the service: HTTP and the loops. An embedded database is migrated first.

    \b
    callsheet serve --port 8000
    """
    said = {"HOST": host, "PORT": port}
    env = {**os.environ, **{name: str(value) for name, value in said.items() if value is not None}}
    settings = load(env)
    if no_loops and settings.sqlite_path is not None:
        raise Trouble("SQLite holds one process", "so it has to run the loops: leave out --no-loops, or use PostgreSQL")
    from service.cli import serving

    serving.serve(settings, env, not no_loops, out)


def work(out: Out) -> None:
    """Run the loops alone, beside any number of `serve` (PostgreSQL). SIGTERM lets it finish what is under way."""
    settings = load(os.environ)
    if settings.sqlite_path is not None:
        raise Trouble("SQLite holds one process", "`callsheet serve` runs its loops; workers of their own need PostgreSQL")
    from service.cli import serving

    serving.work(settings, out)


def migrate(
    out: Out, check: Annotated[bool, typer.Option("--check", help="Change nothing; 1 when it is behind.")] = False
) -> int | None:
    """Bring the database to this version's schema. A release step on PostgreSQL; `serve` does it for SQLite."""
    from service.cli import schema

    before, head = schema.migrate(os.environ, change=not check)
    verdict = "at the head" if before == head else "behind" if check else "migrated"
    document = {"object": "migration", "from": before, "to": head, "verdict": verdict}
    line = f"{before or 'nothing'} → {head}: {verdict}"
    out.show(document, [line])
    return int(check and before != head)


def backup(out: Out, file: Annotated[Path, typer.Argument(metavar="FILE", help="Must not be there yet.")]) -> None:
    """Copy an embedded database while the service runs, as of one moment, and check the copy.

    \b
    callsheet backup backups/monday.db
    """
    from service.cli.keeping import back_up

    size = back_up(load(os.environ, make_keys=False), file)
    note = "The keys are not in it, and nothing in it can be used without them: keep them elsewhere."
    out.show({"object": "backup", "file": str(file), "bytes": size}, [f"{file}: {size:,} bytes, checked.", note])


def restore(
    out: Out,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="SQLite: made by `callsheet backup`.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Even where a database is.")] = False,
) -> None:
    """Put a backup back while nothing runs. On PostgreSQL: what is left to do after pg_restore, without a file.

    Orders that waited in it are held, since they may have been placed and paid after it was made.

    \b
    callsheet restore backups/monday.db --replace
    """
    from service.cli.keeping import put_back

    held = put_back(load(os.environ, make_keys=False), file, replace)
    note = f"{held} waiting orders are held: look at the providers, then cancel them or let them expire." if held else ""
    out.show({"object": "restore", "held": held}, ["The database is in place.", *([note] if note else [])])


def settings(out: Out) -> None:
    """Print what is set, secrets masked; every wrong variable at once."""
    rows = shown(os.environ, load(os.environ, make_keys=False))
    document = [{"name": name, "value": value, "meaning": meaning} for name, value, meaning in rows]
    out.show(
        {"object": "list", "data": document, "next": None}, tables.table(("variable", "value", "meaning"), rows, limit=200)
    )


def doctor(
    out: Out,
    public_url: Annotated[
        bool,
        typer.Option(
            "--public-url",
            help="Prove with a signed self-call that the public URL reaches the running service and its database.",
        ),
    ] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Hold the invariants against every row of the database, and nothing else.")
    ] = False,
) -> int:
    """Look for what is wrong, and say what to do about it. Changes nothing."""
    from service.cli.check import FINE, WRONG
    from service.cli.doctor import examine, serves

    if audit:
        return _audit(out, serves(os.environ))

    checks = examine(os.environ, public_url)
    marks = {FINE: "ok   ", WRONG: "WRONG"}
    lines = []
    for check in checks:
        lines.append(tables.clean(f"{marks.get(check.verdict, 'note ')}  {check.name:<12} {check.found}"))
        lines += [tables.clean(f"{'':<20} → {check.advice}")] if check.advice else []
    wrong = any(check.verdict == WRONG for check in checks)
    out.show({"object": "examination", "fine": not wrong, "checks": [check.as_dict() for check in checks]}, lines)
    return int(wrong)


def _audit(out: Out, running: bool) -> int:
    from service.cli.audit import run

    done = run(os.environ, running, out.note)
    counts = f"{done.tasks} tasks, {done.deliveries} deliveries, {done.subscriptions} subscriptions"
    lines = [tables.clean(f"BREACH  {b.invariant}  {' '.join(b.names)}  {b.what}") for b in done.breaches]
    lines.append(f"{counts}: {len(done.breaches) or 'no'} breach{'' if len(done.breaches) == 1 else 'es'}")
    breaches = [{"invariant": b.invariant, "what": b.what, "names": list(b.names)} for b in done.breaches]
    seen = {"tasks": done.tasks, "deliveries": done.deliveries, "subscriptions": done.subscriptions}
    out.show({"object": "audit", "fine": not breaches, "seen": seen, "breaches": breaches}, lines)
    return int(bool(breaches))


def sandbox(
    out: Out,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 8099,
    queue: Annotated[float, typer.Option(metavar="S", help="Seconds a job is queued.")] = 1.0,
    run: Annotated[float, typer.Option(metavar="S", help="Seconds a job runs.")] = 2.0,
    seed: Annotated[int | None, typer.Option(help="Of all chance.")] = None,
    limits: Annotated[bool, typer.Option("--limits", help="Enforce Ark's limits on questions.")] = False,
    calls: Annotated[list[str] | None, typer.Option(metavar="PROVIDER", help="Passes callback_url on as well.")] = None,
    rate: Annotated[list[str] | None, typer.Option(metavar="NAME=SHARE", help="e.g. lose=0.3; several times.")] = None,
) -> None:
    """Run the simulated providers and a demo receiver alone, for any client.

    \b
    callsheet sandbox --port 8099 --rate lose=0.3 --rate fail=0.1
    """
    from service.cli.listening import listener
    from service.cli.orders import labels
    from service.sandbox import BASE_URLS, SandboxSettings, serve

    calling = SandboxSettings().callbacks | set(calls or ())
    try:
        rates = {name: float(share) for name, share in labels(rate).items()}
        chosen = SandboxSettings(
            queue_s=queue, run_s=run, seed=seed, limits=limits, callbacks=calling, rates=rates, print=not out.as_json
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    listener(host, port).close()
    if not out.as_json:
        serve(host, port, chosen)
        return
    addresses = {name: f"http://{host}:{port}{path}" for name, path in BASE_URLS.items()}
    out.show({"object": "sandbox", "base_urls": addresses}, [])
    sys.stdout.flush()
    with contextlib.redirect_stdout(sys.stderr):
        serve(host, port, chosen)
