"""For operators: keys, and what is known of the providers."""

from typing import Annotated, Any

import typer

from service.cli import tables
from service.cli.client import Ask
from service.cli.verb import First, Out, plain, verb


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=First.of("list"), rich_markup_mode=None)
    app.add_typer(group, name="keys", help="API keys of an app (--app; the default one otherwise).")
    verb(group, "list")(listed)
    for act in (create, revoke, reencrypt, fernet):
        verb(group)(act)
    verb(group, "forget-app")(forget_app)
    verb(app)(providers)


def listed(ask: Ask, out: Out) -> None:
    """List an app's keys."""
    page = ask.get(f"/v1/apps/{ask.app}/keys")
    rows = [(k["id"], k["prefix"] + "…", k["scopes"], k["label"], k["created_at"], k["revoked_at"]) for k in page["data"]]
    out.show(page, tables.table(("key", "begins with", "scopes", "label", "created", "revoked"), rows, "No keys."))


def create(
    ask: Ask,
    out: Out,
    scopes: Annotated[str, typer.Option(metavar="A,B,…", help="Of submit, read, manage, admin.")] = "submit,read,manage",
    label: Annotated[str, typer.Option(help="For people.")] = "",
) -> None:
    """Make a key; it is shown this once.

    \b
    callsheet keys create --app film --scopes submit,read --label nightly
    """
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    made = ask.post(f"/v1/apps/{ask.app}/keys", {"scopes": wanted, "label": label})
    out.show(made, tables.pairs({"key": made["key"], "id": made["id"], "app": made["app"], "scopes": made["scopes"]}))


def revoke(ask: Ask, out: Out, name: Annotated[str, typer.Argument(metavar="ID", callback=plain, help="key_…")]) -> None:
    """Revoke a key: at once where it is asked, within seconds everywhere."""
    ask.delete(f"/v1/apps/{ask.app}/keys/{name}")
    out.show({"id": name, "object": "key", "revoked": True}, [f"{name} is revoked."])


def forget_app(ask: Ask, out: Out, name: Annotated[str, typer.Argument(metavar="APP", callback=plain)]) -> None:
    """Erase what is personal in all tasks of an app, for good. How far it is: callsheet jobs --app APP.

    Refused while one of them has not ended. Its keys and subscriptions stay.
    """
    job = ask.post(f"/v1/apps/{name}/forget")
    out.show(job, tables.pairs(job))


def reencrypt(ask: Ask, out: Out) -> None:
    """Seal all that is kept encrypted with the newest key: then an older one can be taken away.

    \b
    callsheet keys reencrypt && callsheet jobs JOB     # done: remove the old key and restart
    """
    job = ask.post("/v1/keys/reencrypt")
    out.note(f"{job['id']} is under way; `callsheet jobs {job['id']}` shows how far it is")
    out.show(job, tables.pairs(job))


def fernet(out: Out) -> None:
    """Print a new key for CALLSHEET_ENCRYPTION_KEYS. Asks nobody."""
    from cryptography.fernet import Fernet

    key = Fernet.generate_key().decode()
    out.show({"key": key}, [key])


def providers(ask: Ask, out: Out) -> None:
    """The configured providers, and what is known of them."""
    page = ask.get("/v1/providers")
    rows = [(p["provider"], p["account"], p["callbacks"], p["cancels"], p["batch"]) for p in page["data"]]
    lines = tables.table(("provider", "account", "calls back", "cancels", "asks at once"), rows, "No providers.")
    out.show(page, [*lines, *(line for facts in _facts(page["data"]) for line in facts)])


def _facts(data: list[dict[str, Any]]) -> list[list[str]]:
    """Once for each gateway: what its documents say, and what they do not, so that nobody relies on the latter unknowing."""
    gateways = {p["provider"]: p for p in data}
    return [
        ["", f"{name}:", *(f"  documented   {f}" for f in p["verified"]), *(f"  unverified   {f}" for f in p["unverified"])]
        for name, p in gateways.items()
    ]
