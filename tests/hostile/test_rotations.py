"""Every key is rotated under a stream of traffic, as SECURITY.md says, and nobody outside notices."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any

import orjson
import pytest
from cryptography.fernet import Fernet
from standardwebhooks import Webhook

from service.domain.lifecycle import State
from service.flow import work
from service.flow.reencrypt import BATCH
from service.flow.targets import ROTATION_MS
from service.signing import CallbackTokens, Seal
from service.store import sealed, subscriptions
from service.web.guard import KNOWN_MS
from tests.hostile.fleet import Process
from tests.web.test_guard import new_key
from tests.world import ADMIN, ENCRYPTION, PRO, SIGNING, Said, World

pytestmark = pytest.mark.anyio

NEW_SIGNING = "another-signing-key-of-thirty-two"
NEW_ENCRYPTION = Fernet.generate_key().decode()
HOURS_80 = 80


def stages(old: Sequence[str], new: str) -> list[tuple[list[str], list[str]]]:
    """What the two halves of a fleet have at each moment of a rotation: the new key opens everywhere before it is used
    anywhere."""
    settings = [[*old], [new, *old], [*old, new]]
    return [(was, now) for was, now in product(settings, settings) if abs(settings.index(was) - settings.index(now)) <= 1]


# --- signing keys ---


async def test_signing_keys_are_rotated_under_a_stream_of_callbacks(world: World) -> None:
    """At each moment either half makes orders and either half hears their callbacks."""
    first = await world.submit("from before everything")
    answers = []
    for was, now in stages(SIGNING, NEW_SIGNING):
        fleet = Process(world, signing=was), Process(world, signing=now)
        for maker, hearer in product(fleet, fleet):
            job = world.job(await maker.submit())
            for status in ("running", "succeeded"):
                answers.append(await hearer.callback(job.callback_url, orjson.dumps(job.as_ark(status))))
    assert set(answers) == {200}
    last = Process(world, signing=[*SIGNING, NEW_SIGNING])
    fresh = await last.submit()
    token = world.job(fresh).callback_url.rpartition("/")[2]
    assert CallbackTokens([NEW_SIGNING], lambda: world.now).open("ark", token) == fresh.submission_id, "new ones, new key"
    old_job, body = world.job(first), orjson.dumps(world.job(first).as_ark("running"))
    assert await last.callback(old_job.callback_url, body) == 200, "old ones open"
    world.silence(hours=HOURS_80)
    alone = Process(world, signing=[NEW_SIGNING])
    assert await alone.callback(world.job(fresh).callback_url, orjson.dumps(world.job(fresh).as_ark("succeeded"))) == 200
    assert await alone.callback(old_job.callback_url, body) == 404, "and the old key is gone"
    states = {row.state for row in await world.rows("SELECT DISTINCT state FROM task")}
    assert states == {"succeeded", "running"}


async def test_a_new_signing_key_used_before_all_know_it_costs_callbacks(world: World) -> None:
    """Why the first step is there: without it the other half turns the provider away."""
    ahead, behind = Process(world, signing=[*SIGNING, NEW_SIGNING]), Process(world)
    job = world.job(await ahead.submit())
    assert await behind.callback(job.callback_url, b"{}") == 404


# --- encryption keys ---


def verified(secret: str, said: Said) -> bool:
    """By the reference library, at the moment of the notice."""
    at = datetime.fromtimestamp(int(said.headers["webhook-timestamp"]), UTC)
    return Webhook(secret).sign(said.id, at, said.body.decode()) in said.headers["webhook-signature"].split(" ")


async def everything_sealed(world: World) -> list[bytes]:
    return [bytes(r.sealed) for table in ("subscription", "app") for r in await world.rows(f"SELECT sealed FROM {table}")]


async def reencrypted(process: Process) -> Any:
    started = await process.api("POST", "/v1/keys/reencrypt", {})
    assert started.status_code == 202
    while await work.step(process.parts):
        pass
    return (await process.api("GET", f"/v1/jobs/{started.json()['id']}")).json()


async def test_encryption_keys_are_rotated_under_a_stream_of_deliveries(world: World) -> None:
    secrets = {}
    for number, (was, now) in enumerate(stages(ENCRYPTION, NEW_ENCRYPTION)):
        fleet = Process(world, encryption=was), Process(world, encryption=now)
        for side, maker in enumerate(fleet):
            host = f"hook-{number}-{side}.test"
            made = await maker.api("POST", "/v1/subscriptions", {"target": f"https://{host}/"})
            secrets[host] = made.json()["secret"]
        for maker, teller in product(fleet, fleet):
            await maker.submit()
            await teller.deliver()
    assert (await world.rows("SELECT count(*) AS n FROM delivery WHERE state <> 'delivered'"))[0].n == 0
    job = await reencrypted(Process(world, encryption=[*ENCRYPTION, NEW_ENCRYPTION]))
    assert (job["state"], job["done"]) == ("done", len(secrets) + 1)
    only_new = Seal([NEW_ENCRYPTION])
    assert all(only_new.open(each) for each in await everything_sealed(world)), "the old key opens nothing that is needed"
    alone = Process(world, encryption=[NEW_ENCRYPTION])
    world.said.clear()
    await alone.submit(callback_url="https://own.test/")
    await alone.deliver()
    told = {said.host: said for said in world.said}
    assert set(told) == {*secrets, "own.test"}
    assert all(verified(secret, told[host]) for host, secret in secrets.items()), "the subscribers' own keys are as ever"


async def test_a_reencryption_walks_everything_in_parts_and_goes_on_after_a_restart(world: World) -> None:
    first = (await world.subscribe()).id

    def many(tx: Any) -> None:
        row = subscriptions.by_id(tx.sql, "default", first)
        one = dict(zip(row._fields, row, strict=True))
        subscriptions.add(tx, [one | {"id": tx.ids.new()} for _ in range(2 * BATCH)])

    await world.db.write(many)
    world.encryption.append(NEW_ENCRYPTION)
    await world.crash()
    started = (await world.api("POST", "/v1/keys/reencrypt", {})).json()
    assert (await world.api("POST", "/v1/keys/reencrypt", {})).status_code == 409, "one at a time"
    assert await work.step(world.parts)
    await world.crash()
    while await work.step(world.parts):
        pass
    job = (await world.api("GET", f"/v1/jobs/{started['id']}")).json()
    assert (job["kind"], job["state"], job["seen"], job["done"]) == ("reencrypt", "done", 2 * BATCH + 2, 2 * BATCH + 2)
    assert all(Seal([NEW_ENCRYPTION]).open(each) for each in await everything_sealed(world))


@pytest.mark.parametrize("broken", ["subscription", "app"])
async def test_a_reencryption_that_finds_what_no_key_opens_says_which_and_changes_nothing(world: World, broken: str) -> None:
    sub = await world.subscribe()
    before = await everything_sealed(world)
    foreign = Seal([Fernet.generate_key().decode()]).seal(b"{}")

    def spoil(tx: Any) -> None:
        if broken == "app":
            sealed.put_apps(tx, {"default": foreign})
        else:
            sealed.put_subscriptions(tx, {sub.id: foreign})

    await world.db.write(spoil)
    job = await reencrypted(Process(world))
    assert job["state"] == "stopped"
    assert (sub.name if broken == "subscription" else "app default") in job["reason"]
    assert "put back the encryption key" in job["reason"]
    assert (await everything_sealed(world)).count(foreign) == 1
    assert len(await everything_sealed(world)) == len(before)


async def test_an_encryption_key_that_was_taken_away_too_early_is_told_and_loses_nothing(world: World) -> None:
    await world.subscribe()
    await world.submit()
    world.silence(minutes=5)  # whoever had them in hand died
    early = Process(world, encryption=[NEW_ENCRYPTION])
    await early.deliver()
    assert world.said == []
    [shown] = (await early.api("GET", "/v1/subscriptions")).json()["data"]
    assert shown["status"] == "active"
    assert "no key of this service opens its address" in shown["reason"]
    [delivery] = (await early.api("GET", "/v1/deliveries")).json()["data"]
    assert (delivery["state"], delivery["attempts"]) == ("pending", [])
    assert "no key of this service opens its address" in delivery["reason"]
    await Process(world).deliver()
    assert world.heard() == ["task.queued"], "at once: it is due, and held by nobody"


async def test_what_no_key_opens_uses_up_no_attempts_and_holds_up_nobody_else(world: World) -> None:
    closed = await world.subscribe()
    open_one = await world.subscribe("https://other.test/")
    foreign = Seal([NEW_ENCRYPTION])
    [before] = await world.rows("SELECT sealed FROM subscription WHERE id = :id", id=closed.id)

    def put(value: bytes) -> Any:
        return world.db.write(lambda tx: sealed.put_subscriptions(tx, {closed.id: value}))

    await put(foreign.seal(b"{}"))
    for _ in range(12):
        await world.submit()
        await world.deliver()
        world.silence(hours=12)
    assert world.heard("other.test") == ["task.queued"] * 12
    assert world.heard() == []
    [row] = await world.rows(
        "SELECT count(*) AS n, sum(attempts) AS tries, state FROM delivery WHERE ended_at IS NULL GROUP BY state"
    )
    assert tuple(row) == (12, 0, "pending")
    assert (await world.api("GET", f"/v1/subscriptions/{open_one.name}")).json()["reason"] is None
    await put(bytes(before.sealed))
    await world.deliver()
    assert world.heard() == ["task.queued"] * 12


@pytest.mark.parametrize("verb", ["order", "change", "rotate"])
async def test_a_request_that_needs_a_key_nobody_has_is_told_so_and_stores_nothing(world: World, verb: str) -> None:
    sub = await world.subscribe()
    early = Process(world, encryption=[NEW_ENCRYPTION])
    match verb:
        case "order":
            body = {"model": PRO, "prompt": "a boat", "callback_url": "https://hook.test/mine"}
            answer = await early.api("POST", "/v1/tasks", body)
        case "change":
            answer = await early.api("PATCH", f"/v1/subscriptions/{sub.name}", {"target": "https://new.test/"})
        case _:
            answer = await early.api("POST", f"/v1/subscriptions/{sub.name}/rotate")
    assert answer.status_code == 503
    problem = answer.json()
    assert problem["type"].endswith("/key-missing")
    assert "put back the key that sealed it" in problem["detail"]
    assert "CALLSHEET_ENCRYPTION_KEYS" in problem["detail"]
    assert answer.headers["Retry-After"] == "60"
    assert not any(key in answer.text for key in (*ENCRYPTION, NEW_ENCRYPTION))
    assert world.creates == 0
    assert await world.rows("SELECT id FROM task") == []


# --- API keys ---


async def test_an_api_key_is_changed_without_a_request_that_fails(world: World) -> None:
    old = await new_key(world, "default", "submit", "read")
    assert (await world.api("GET", "/v1/tasks", key=old)).status_code == 200
    new = await new_key(world, "default", "submit", "read")
    for key in (old, new):
        assert (await world.api("GET", "/v1/tasks", key=key)).status_code == 200, "both work while callers switch"
    [name] = [k["id"] for k in (await world.api("GET", "/v1/apps/default/keys")).json()["data"] if old.startswith(k["prefix"])]
    other = Process(world)
    assert (await other.api("GET", "/v1/tasks", key=old)).status_code == 200
    assert (await world.api("DELETE", f"/v1/apps/default/keys/{name}")).status_code == 204
    assert (await world.api("GET", "/v1/tasks", key=old)).status_code == 401, "here at once"
    world.silence(seconds=KNOWN_MS / 1000 + 1)
    assert (await other.api("GET", "/v1/tasks", key=old)).status_code == 401, "elsewhere within seconds"
    assert (await world.api("GET", "/v1/tasks", key=new)).status_code == 200


async def test_the_operators_key_is_changed_by_a_restart_and_an_admin_key_bridges_it(world: World) -> None:
    bridge = await new_key(world, "default", "admin")
    was, now = Process(world), Process(world, admin="csa_the-operators-next-key")
    for process in (was, now):
        assert (await process.api("GET", "/v1/apps", key=bridge)).status_code == 200
    assert (await now.api("GET", "/v1/apps", key=ADMIN)).status_code == 401
    assert (await now.api("GET", "/v1/apps", key="csa_the-operators-next-key")).status_code == 200


# --- subscribers' secrets ---


async def test_a_subscribers_secret_is_rotated_under_a_stream_of_notices(world: World) -> None:
    sub = await world.subscribe()

    async def told() -> Said:
        world.said.clear()
        task = await world.submit()
        await world.deliver()
        assert task.state is State.QUEUED
        [said] = world.said
        return said

    assert verified(sub.secret, await told())
    new = (await world.api("POST", f"/v1/subscriptions/{sub.name}/rotate", {})).json()["secret"]
    said = await told()
    assert verified(sub.secret, said), "whoever has not switched yet"
    assert verified(new, said), "and whoever has"
    world.silence(hours=ROTATION_MS / 3_600_000 + 0.1)
    said = await told()
    assert not verified(sub.secret, said)
    assert verified(new, said)
