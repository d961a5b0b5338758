"""Subscriptions from the outside: keys, what they let through, how they end, and what is told about that."""

import time
from base64 import b64decode, urlsafe_b64decode
from ipaddress import ip_network

import httpx
import openai
import orjson
import pytest
import standardwebhooks
import svix.webhooks
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import text

from service.domain.instant import rfc3339
from service.egress import Guard, Transport
from service.flow import claim, deliver, settle
from service.flow.subscribe import KEYS_LIMIT
from service.flow.targets import RETIRING_LIMIT
from service.signing import Seal
from service.store import apps, subscriptions
from service.store.database import Tx
from tests.flow.couriers import SLACK, answers, pass_time, queued, steady
from tests.world import ADMIN, ENCRYPTION, HOOK, PRO, Said, World

pytestmark = pytest.mark.anyio

DAY_MS = 86_400_000
OPENAI = openai.OpenAI(api_key="none", base_url="http://127.0.0.1:9/")


def assert_others_verify(said: Said, secret: str) -> None:
    headers = dict(said.headers)
    standardwebhooks.Webhook(secret).verify(said.body, headers)
    svix.webhooks.Webhook(secret).verify(said.body, headers)
    OPENAI.webhooks.verify_signature(said.body, headers, secret=secret)


def verified(said: Said, jwk: dict[str, str]) -> bool:
    """A v1a signature, by a key of the published set and nothing of ours."""
    key = Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(jwk["x"] + "="))
    content = f"{said.headers['webhook-id']}.{said.headers['webhook-timestamp']}.".encode() + said.body
    for part in said.headers["webhook-signature"].split(" "):
        version, _, signature = part.partition(",")
        try:
            key.verify(b64decode(signature), content)
        except InvalidSignature:
            continue
        assert version == "v1a"
        return True
    return False


async def test_every_notice_of_a_full_run_is_verified_by_libraries_we_did_not_write(world: World) -> None:
    world.now = int(time.time() * 1000)
    secrets = {
        f"{form}.test": (await world.subscribe(f"https://{form}.test/", options={"payload": form}, events=["*"])).secret
        for form in ("full", "thin", "cloudevents")
    }
    task = await world.submit("a paper boat", callback_url="https://own.test/hook")
    for status in ("running", "succeeded", "failed"):
        await world.callback(status)
    await world.submit("another")
    await world.callback("failed")
    await world.deliver()
    row = await world.db.read(lambda sql: apps.app(sql, "default"))
    assert row is not None
    secrets["own.test"] = Seal(ENCRYPTION).open(bytes(row.sealed)).decode()
    for said in world.said:
        assert_others_verify(said, secrets[said.host])
    assert {said.host for said in world.said} == set(secrets)
    assert len([said for said in world.said if said.host == "full.test"]) == 6, "a conflict is told of, too"
    assert world.heard("own.test") == ["task.queued", "task.running", "task.succeeded"]
    assert orjson.loads(world.said[0].body)["data"]["task"]["id"] is not None
    assert task.remote_id is not None


async def test_a_secret_is_shown_once_and_nowhere_in_clear(world: World) -> None:
    url = "https://hook.test/path?token=s3cr3t-query"
    body = {"target": url, "headers": {"X-Token": "s3cr3t-header"}}
    made = (await world.api("POST", "/v1/subscriptions", body)).json()
    assert made["secret"].startswith("whsec_")
    shown = (await world.api("GET", f"/v1/subscriptions/{made['id']}")).json()
    assert "secret" not in shown
    [row] = await world.rows("SELECT * FROM subscription")
    for secret in (made["secret"], made["secret"].removeprefix("whsec_"), "s3cr3t"):
        assert secret not in str([bytes(v) if isinstance(v, memoryview) else v for v in row])
        assert secret not in str(shown)
    assert shown["target"] == "https://hook.test/path?token=…"


async def test_headers_are_checked_when_saved_and_sent_along(world: World) -> None:
    refused = await world.api("POST", "/v1/subscriptions", {"target": HOOK, "headers": {"Webhook-Id": "x"}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "headers.Webhook-Id")
    made = (await world.api("POST", "/v1/subscriptions", {"target": HOOK, "headers": {"X-Team": "film"}})).json()
    changed = await world.api("PATCH", f"/v1/subscriptions/{made['id']}", {"headers": {"Host": "evil.test"}})
    assert changed.status_code == 422
    await queued(world)
    await world.deliver()
    assert world.said[0].headers["x-team"] == "film"
    chat = await world.api("POST", "/v1/subscriptions", {"channel": "slack", "target": SLACK, "headers": {"X-Team": "film"}})
    assert chat.json()["errors"][0]["field"] == "headers"


async def test_after_a_rotation_both_secrets_sign_for_a_day(world: World) -> None:
    world.now = int(time.time() * 1000)
    sub = await world.subscribe()
    new = (await world.api("POST", f"/v1/subscriptions/{sub.name}/rotate")).json()["secret"]
    await queued(world)
    await world.deliver()
    for secret in (sub.secret, new):
        assert_others_verify(world.said[0], secret)
    world.silence(hours=24, seconds=1)
    await queued(world)
    await world.deliver()
    assert world.said[1].headers["webhook-signature"].count("v1,") == 1
    at = int(world.said[1].headers["webhook-timestamp"]) * 1000
    assert at == world.now // 1000 * 1000


async def test_a_second_rotation_leaves_the_first_secret_its_day(world: World) -> None:
    world.now = int(time.time() * 1000)
    sub = await world.subscribe()
    secrets = [sub.secret]
    for _ in range(2):
        secrets.append((await world.api("POST", f"/v1/subscriptions/{sub.name}/rotate")).json()["secret"])
        world.silence(minutes=1)
    await queued(world)
    await world.deliver()
    for secret in secrets:
        assert_others_verify(world.said[0], secret)
    world.silence(hours=23, minutes=58, seconds=30)
    await queued(world)
    await world.deliver()
    assert world.said[1].headers["webhook-signature"].count("v1,") == 2, "the first has had its day, the second has not"


async def test_more_rotations_in_a_day_than_can_sign_are_refused_with_the_reason(world: World) -> None:
    sub = await world.subscribe()
    for _ in range(RETIRING_LIMIT):
        assert (await world.api("POST", f"/v1/subscriptions/{sub.name}/rotate")).status_code == 200
    refused = await world.api("POST", f"/v1/subscriptions/{sub.name}/rotate")
    assert refused.status_code == 409
    assert f"{RETIRING_LIMIT} earlier keys" in refused.text
    world.silence(hours=24)
    assert (await world.api("POST", f"/v1/subscriptions/{sub.name}/rotate")).status_code == 200


async def test_asymmetric_signatures_are_verified_with_published_keys_over_a_rotation(world: World) -> None:
    made = (await world.api("POST", "/v1/subscriptions", {"target": HOOK, "options": {"signature": "v1a"}})).json()
    assert made["public_key"].startswith("whpk_")
    assert "secret" not in made

    async def published(app: str = "") -> list[dict[str, str]]:
        answer = await world.http.get(f"/.well-known/{app}jwks.json")
        assert answer.status_code == 200
        keys: list[dict[str, str]] = answer.json()["keys"]
        return keys

    [old] = await published()
    assert await published("default/") == [old]
    assert await published("another/") == []
    rotated = (await world.api("POST", f"/v1/subscriptions/{made['id']}/rotate")).json()
    assert rotated["public_key"] != made["public_key"]
    await queued(world)
    await world.deliver()
    new, still = await published()
    assert still == old
    assert verified(world.said[0], new)
    assert verified(world.said[0], old)
    world.silence(hours=25)
    await queued(world)
    await world.deliver()
    assert await published() == [new]
    assert verified(world.said[1], new)
    assert not verified(world.said[1], old)
    refused = await world.api("PATCH", f"/v1/subscriptions/{made['id']}", {"options": {"signature": "v1"}})
    assert refused.json()["errors"][0]["field"] == "options.signature"


async def test_every_key_that_signs_is_published_and_one_too_many_is_refused(world: World) -> None:
    asymmetric = {"target": HOOK, "options": {"signature": "v1a"}}
    made = (await world.api("POST", "/v1/subscriptions", asymmetric)).json()

    def fill(tx: Tx) -> None:
        row = dict(tx.sql.execute(text("SELECT * FROM subscription")).mappings().one())
        subscriptions.add(tx, [row | {"id": tx.ids.new()} for _ in range(KEYS_LIMIT - 1)])

    await world.db.write(fill)
    published = (await world.http.get("/.well-known/jwks.json")).json()["keys"]
    assert len(published) == KEYS_LIMIT
    refused = await world.api("POST", "/v1/subscriptions", asymmetric)
    assert (refused.status_code, "key set" in refused.text) == (409, True)
    assert (await world.api("POST", "/v1/subscriptions", {"target": HOOK})).status_code == 201
    await world.api("DELETE", f"/v1/subscriptions/{made['id']}")
    assert (await world.api("POST", "/v1/subscriptions", asymmetric)).status_code == 201


async def test_a_changed_target_and_rate_are_used_at_once_and_secrets_stay(world: World) -> None:
    sub = await world.subscribe()
    await queued(world)
    await world.deliver()
    changes = {"target": "https://moved.test/", "rate": 3, "schedule": [1, 2], "concurrency": 2, "label": "new"}
    shown = (await world.api("PATCH", f"/v1/subscriptions/{sub.name}", changes)).json()
    assert {name: shown[name] for name in changes} == changes
    await queued(world)
    await world.deliver()
    assert [said.host for said in world.said] == ["hook.test", "moved.test"]


async def test_filters_let_through_what_they_name_and_nothing_else(world: World) -> None:
    await world.subscribe("https://film.test/", chosen={"metadata": {"team": "film"}}, events=["task.succeeded"])
    await world.subscribe("https://other.test/", chosen={"provider": ["apiyi"]})
    await world.subscribe("https://model.test/", chosen={"model": ["another-model"]})
    await world.submit("one", metadata={"team": "film"})
    await world.callback("succeeded")
    await world.submit("two", metadata={"team": "ads"})
    await world.callback("succeeded")
    await world.deliver()
    assert [(said.host, said.type) for said in world.said] == [("film.test", "task.succeeded")]


async def test_an_event_from_before_a_subscription_is_not_owed_to_it(world: World) -> None:
    await world.submit()
    await world.subscribe()
    await world.callback("succeeded")
    await pass_time(world, 1)
    assert world.heard() == ["task.succeeded"]


async def test_of_an_app_another_app_sees_and_hears_nothing(world: World) -> None:
    await world.api("POST", "/v1/apps", {"id": "film"})
    sub = await world.subscribe(app="film", url="https://film.test/")
    await world.submit()
    await world.submit(app="film")
    await world.deliver()
    assert world.heard("film.test") == ["task.queued"]
    assert (await world.api("GET", f"/v1/subscriptions/{sub.name}")).status_code == 404
    theirs = {"callsheet_app": "film"}
    [delivery] = (await world.api("GET", "/v1/deliveries", **theirs)).json()["data"]
    for path in (f"/v1/deliveries/{delivery['id']}", f"/v1/subscriptions/{sub.name}/recover"):
        assert (await world.api("GET", path)).status_code == 404
    assert (await world.api("POST", f"/v1/deliveries/{delivery['id']}/resend")).status_code == 404


# --- how they end ---


async def test_a_disabled_subscription_keeps_what_happens_as_skipped_and_says_why_and_since_when(world: World) -> None:
    sub = await world.subscribe()
    await world.subscribe("https://ops.test/", events=["subscription.*", "delivery.*"])
    world.on_notice["hook.test"] = list(answers(410))
    await queued(world)
    await world.deliver()
    world.silence(hours=1)
    await queued(world, 3)
    await world.deliver()
    shown = (await world.api("GET", f"/v1/subscriptions/{sub.name}")).json()
    assert (shown["status"], shown["reason"]) == ("disabled", "answered 410: the subscriber wants no more")
    assert shown["status_at"] == rfc3339(world.now - 3_600_000)
    kept = (await world.api("GET", f"/v1/deliveries?state=skipped&subscription={sub.name}")).json()["data"]
    assert len(kept) == 3
    assert world.heard("ops.test") == ["subscription.disabled"]
    [told] = [said for said in world.said if said.host == "ops.test"]
    assert told.data["subscription_id"] == sub.name


async def test_what_waits_when_a_subscription_is_disabled_is_kept_as_skipped(world: World) -> None:
    world.parts.courier.open = False
    await world.subscribe()
    world.on_notice["hook.test"] = list(answers(410, claim.CLAIM))
    await queued(world, 900)
    await pass_time(world, 1)
    states = {row.state: row.n for row in await world.rows("SELECT state, count(*) AS n FROM delivery GROUP BY state")}
    assert set(states) == {"abandoned", "skipped"}
    assert (states["abandoned"], states["skipped"]) == (claim.CLAIM, 900 - claim.CLAIM), "those under way, and all others"
    [lane] = await world.rows("SELECT due_at FROM lane")
    assert lane.due_at is None


async def test_five_days_of_failures_disable_a_subscription_and_say_so(world: World) -> None:
    steady(world)
    await world.subscribe("https://ops.test/", events=["subscription.disabled"])
    sub = await world.subscribe(events=["task.*"])
    world.on_notice["hook.test"] = list(answers(503, 1_000))
    for _ in range(11):
        await queued(world)
        await pass_time(world, 12)
    [row] = await world.rows("SELECT status, reason, status_at, created_at FROM subscription WHERE id = :id", id=sub.id)
    assert (row.status, row.reason) == ("disabled", "it has failed for five days")
    assert 5 * DAY_MS <= row.status_at - row.created_at < 5.6 * DAY_MS
    assert world.heard("ops.test") == ["subscription.disabled"]


async def test_a_bad_evening_five_quiet_days_and_one_more_failure_disable_nothing(world: World) -> None:
    sub = await world.subscribe(schedule=[])
    for hours in (1, 6 * 24, 0):
        world.on_notice["hook.test"] = list(answers(500))
        await queued(world)
        await world.deliver()
        world.silence(hours=hours)
    assert len(world.said) == 3
    shown = (await world.api("GET", f"/v1/subscriptions/{sub.name}")).json()
    assert shown["status"] == "active"
    world.on_notice["hook.test"] = list(answers(500))
    await queued(world)
    await world.deliver()
    shown = (await world.api("GET", f"/v1/subscriptions/{sub.name}")).json()
    assert (shown["status"], shown["reason"]) == ("disabled", "it has failed for five days")


async def test_one_success_in_between_keeps_it(world: World) -> None:
    steady(world)
    sub = await world.subscribe()
    for day in range(12):
        world.on_notice["hook.test"] = list(answers(503, 2)) if day != 4 else list(answers(200))
        await queued(world)
        await pass_time(world, 24)
        world.on_notice["hook.test"].clear()
    shown = (await world.api("GET", f"/v1/subscriptions/{sub.name}")).json()
    assert shown["status"] == "active"


async def test_a_thousand_abandoned_deliveries_are_told_of_once_an_hour_with_their_number(world: World) -> None:
    steady(world)
    await world.subscribe("https://ops.test/", events=["delivery.abandoned"])
    sub = await world.subscribe(events=["task.*"], schedule=[])
    world.on_notice["hook.test"] = list(answers(500, 30))
    await queued(world, 4)
    await world.deliver()
    await queued(world, 2)
    await world.deliver()
    await settle.tell_abandoned(world.parts)
    await world.deliver()
    told = [said.data for said in world.said if said.host == "ops.test"]
    assert [t["count"] for t in told] == [4]
    assert told[0]["subscription_id"] == sub.name
    world.silence(hours=1)
    await settle.tell_abandoned(world.parts)
    await world.deliver()
    told = [said.data for said in world.said if said.host == "ops.test"]
    assert [t["count"] for t in told] == [4, 2]
    await settle.tell_abandoned(world.parts)
    await world.deliver()
    assert len([said for said in world.said if said.host == "ops.test"]) == 2


async def test_an_abandoned_notice_about_an_abandoned_notice_is_not_told(world: World) -> None:
    await world.subscribe(events=["*"], schedule=[])
    world.on_notice["hook.test"] = list(answers(500, 50))
    await queued(world)
    await pass_time(world, 10)
    assert len(world.said) == 2, "the notice, and that it was given up; no word about that one"


@pytest.mark.parametrize("url", ["https://10.0.0.5/", "https://[fe80::1]/", "https://2130706433/", "https://169.254.169.254/"])
async def test_an_address_that_is_never_gone_to_is_refused_when_it_is_saved(world: World, url: str) -> None:
    object.__setattr__(world.parts, "guard", Guard())
    made = (await world.api("POST", "/v1/subscriptions", {"target": HOOK})).json()
    order = {"model": PRO, "prompt": "a cat", "callback_url": url}
    for method, path, body, wrong in (
        ("POST", "/v1/subscriptions", {"target": url}, "target"),
        ("PATCH", f"/v1/subscriptions/{made['id']}", {"target": url}, "target"),
        ("POST", "/v1/tasks", order, "callback_url"),
    ):
        refused = await world.api(method, path, body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, wrong)
    object.__setattr__(world.parts, "guard", Guard([ip_network("10.0.0.0/8")]))
    allowed = await world.api("POST", "/v1/subscriptions", {"target": url})
    assert allowed.status_code == (201 if "10.0" in url else 422)


async def test_blocked_addresses_are_refused_by_the_guard_and_shown_by_their_own_word(world: World) -> None:
    dialled: list[str] = []

    async def connect(address: str, port: int, tls: object, name: str) -> object:
        dialled.append(address)
        raise OSError("nobody may get here")

    async def resolve(host: str, port: int) -> list[str]:
        return {"rebound.test": ["10.0.0.5"], "mixed.test": ["93.184.216.34", "127.0.0.1"]}.get(host, ["169.254.169.254"])

    transport = Transport(Guard(), resolve=resolve, connect=connect)  # type: ignore[arg-type]
    object.__setattr__(world.parts, "transport", transport)
    hosts = [
        "rebound.test",
        "mixed.test",
        "meta.test",
        "127.0.0.1",
        "[::1]",
        "2130706433",
        "0x7f000001",
        "[64:ff9b::a9fe:a9fe]",
    ]
    for host in hosts:
        assert (await world.api("POST", "/v1/subscriptions", {"target": f"https://{host}/"})).status_code == 201
    await queued(world)
    await world.deliver()
    assert dialled == []
    found = await world.rows("SELECT outcome, error FROM attempt")
    assert len(found) == len(hosts)
    assert {row.outcome for row in found} == {"blocked"}
    assert all(row.error.startswith("blocked_address: ") for row in found)
    await transport.aclose()


async def test_wrong_fields_are_all_named(world: World) -> None:
    body = {"target": "ftp://x", "events": ["task.nonsense"], "options": {"payload": "fat"}, "headers": {"Host": "x"}}
    refused = await world.api("POST", "/v1/subscriptions", body)
    fields = [fault["field"] for fault in refused.json()["errors"]]
    assert fields == ["options.payload", "target", "headers.Host", "events[0]"]
    assert (await world.api("POST", "/v1/subscriptions", {"target": HOOK, "rate": 0}, key=ADMIN)).status_code == 422
    assert isinstance(refused, httpx.Response)


@pytest.mark.parametrize("host", ["[::1%é]", "[::1%ﬀ]", "[fe80::1%lo]。ﬀ]", "[::1%25é]", "[::1]é"])
async def test_an_address_that_could_not_be_sent_to_is_not_saved(world: World, host: str) -> None:
    for path, body in (
        ("/v1/subscriptions", {"target": f"https://{host}/hook?token=secret"}),
        ("/v1/tasks", {"model": PRO, "prompt": "a cat", "callback_url": f"https://{host}/hook"}),
    ):
        answer = await world.api("POST", path, body)
        assert answer.status_code == 422, answer.text
        assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "body", "later"),
    [("POST", "/pause", None, 0), ("DELETE", "", None, 0), ("PATCH", "", {"rate": 1}, 1), ("PATCH", "", {"label": "x"}, 3)],
)
async def test_a_change_acts_at_once_on_what_is_in_hand(
    world: World, method: str, path: str, body: dict[str, object] | None, later: int
) -> None:
    sub = await world.subscribe()
    await queued(world)
    assert await world.deliver() == 1  # how it stands is known by now
    await queued(world, 3)
    assert len(world.parts.courier) == 3
    assert (await world.api(method, f"/v1/subscriptions/{sub.name}{path}", body)).is_success
    assert await deliver.deliver_due(world.parts, world.addressees) == 0
    assert len(world.said) == 1
    assert await world.deliver() == later
