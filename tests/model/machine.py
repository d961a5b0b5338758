"""Anything at any time: Hypothesis chooses what happens next, and after each step the service has to agree with the model.

Only what everybody has is used: the HTTP API and the callback door. Rounds of the loops are steps of their own, so that
they happen at every place in between.
"""

import asyncio
import base64
import hashlib
import hmac
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import httpx
import orjson
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.flow import place, work
from tests.model.believed import ENDINGS, GIVEN_UP_MS, Listener, Order, Owed, advances, contradicts
from tests.world import PRO, START_MS, Engine, Job, World

T = TypeVar("T")
APPS = ("default", "film")
HOSTS = ("one.test", "two.test")
STATES = ("queued", "running", *ENDINGS)
WANTS = ((), ("task.succeeded", "task.failed"), ("callback.conflict", "submission.unknown"), ("task.running",))
PICK = st.integers(0, 11)
FULL = 6
"""Tasks, and half as many subscriptions, of one life: more only take longer."""
TOKEN_LIVES_S = 4 * 86_400
OWN = ("subscription.disabled", "delivery.abandoned", "provider.degraded")
"""Told of accounts and subscriptions, when enough has gone wrong."""
REFUSED = {"error": {"code": "InvalidParameter", "message": "no"}}
CREATE: dict[str, list[Any]] = {
    "accept": ["accept"],
    "lost": ["accept and time out"],
    "refuse": [httpx.Response(400, json=REFUSED)],
    "busy": [httpx.Response(429, json={"error": {"code": "RateLimitExceeded", "message": "later"}})],
    "away": [httpx.ConnectError("refused")],
}
MOODS = st.sampled_from([200, 500, 429, 410, None])
ANSWERS = st.sampled_from(["accept", "accept", *CREATE])


class Machine(RuleBasedStateMachine):
    fresh: Callable[[], Engine]
    """An empty database; the test sets it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World(type(self).fresh())
        self.orders: list[Order] = []
        self.listeners: list[Listener] = []
        self.keys: dict[tuple[str, str], tuple[Order, dict[str, Any]]] = {}
        self.feed: dict[str, list[Any]] = {app: [] for app in APPS}
        self.cursor: dict[str, str | None] = dict.fromkeys(APPS)
        self.alerts: Counter[tuple[str, str | None]] = Counter()
        self.words: set[str] = set()
        self.gone: set[str] = set()
        self.failing: set[str] = set()
        self.count = self.steps = 0
        self.do(self.world.start())
        assert self.do(self.api("POST", "/v1/apps", "default", {"id": "film"})).status_code == 201

    def do(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(doing)

    async def api(self, method: str, path: str, app: str, json: Any = None, **headers: str) -> httpx.Response:
        return await self.world.api(method, path, json, Callsheet_App=app, **headers)

    async def all_of(self, path: str, app: str, limit: int, **query: str) -> list[Any]:
        """Page by page; nothing may be left out, and nothing may come twice."""
        found: list[Any] = []
        more: dict[str, Any] = {"limit": limit, **query}
        while True:
            page = (await self.api("GET", f"{path}?{httpx.QueryParams(more)}", app)).json()
            found += page["data"]
            if page["next"] is None:
                assert len({row["id"] for row in found}) == len(found)
                return found
            more["cursor"] = page["next"]

    # --- what the model believes ---

    def job(self, order: Order) -> Job | None:
        """What the provider has of it: never more than one, whatever happened."""
        found = [job for job in self.world.jobs.values() if job.body["content"][0]["text"] == order.prompt]
        assert len(found) <= 1, f"{order.name} was placed {len(found)} times"
        return found[0] if found else None

    def moved(self, order: Order, to: str) -> None:
        order.state = to
        order.told.append(f"task.{to}")
        self.happened(order.app, f"task.{to}", order.name, len(order.told))

    def happened(self, app: str, type: str, task: str | None, sequence: int | None = None) -> None:
        if sequence is None:
            self.alerts[type, task] += 1
        for listener in self.listeners:
            if listener.hears(app, type):
                listener.owed.append((task, sequence, type))

    def heard(self, order: Order, said: str) -> None:
        """The provider has said so."""
        if advances(order.state, said):
            self.moved(order, said)
        elif contradicts(order.state, said) and not order.conflict:
            order.conflict = True
            self.happened(order.app, "callback.conflict", order.name)

    def learned(self, order: Order, shown: Any) -> None:
        """After the service acted by itself: it may have learned what is true, and nothing else."""
        job = self.job(order)
        state: str = shown["state"]
        assert state in order.legal(None if job is None else job.status, self.world.now), (order, state, job)
        if state != order.state:
            self.moved(order, state)
        if shown["remote_id"] is not None and order.remote is None:
            order.remote = shown["remote_id"]
        if not order.unknown and shown["reason"] == "unknown_outcome":
            order.unknown = True
            self.happened(order.app, "submission.unknown", order.name)

    async def look_around(self) -> None:
        shown = await self.shown()
        for order in self.orders:
            self.learned(order, shown[order.name])

    async def shown(self) -> dict[str, Any]:
        return {task["id"]: task for app in APPS for task in await self.all_of("/v1/tasks", app, 50)}

    async def statuses(self) -> None:
        """A subscription is disabled by its subscriber's own word, or after days of failing; never otherwise."""
        shown = [sub for app in APPS for sub in await self.all_of("/v1/subscriptions", app, 50)]
        status = {sub["id"]: sub["status"] for sub in shown}
        for listener in self.listeners:
            if listener.status != status.get(listener.name, "deleted"):
                assert (listener.status, status[listener.name]) == ("active", "disabled")
                assert listener.host in self.gone | self.failing
                listener.status = "disabled"

    def a_task(self, pick: int) -> Order:
        return self.orders[pick % len(self.orders)]

    def a_listener(self, pick: int) -> Listener:
        return self.listeners[pick % len(self.listeners)]

    @initialize(wants=st.sampled_from(WANTS[:2]), answers=st.lists(ANSWERS, min_size=2, max_size=3), mood=MOODS)
    def begin(self, wants: tuple[str, ...], answers: list[str], mood: int | None) -> None:
        """Nothing much can happen where nobody has ordered anything and nobody listens."""
        self.subscribe("default", HOSTS[0], wants)
        self.mood(HOSTS[0], mood, 3)
        for answer in answers:
            self.submit("default", answer, None)

    # --- orders ---

    @precondition(lambda self: len(self.orders) < FULL)
    @rule(app=st.sampled_from(APPS), answer=ANSWERS, key=st.sampled_from([None, "k1", "k2"]))
    def submit(self, app: str, answer: str, key: str | None) -> None:
        self.count += 1
        body = {"model": PRO, "prompt": f"number {self.count}"}
        used = self.keys.get((app, key)) if key else None
        self.world.on_create = list(CREATE[answer])
        got = self.do(self._post(body, app, key))
        if used is not None:
            assert (got.status_code, got.json()["type"].rsplit("/")[-1]) == (422, "idempotency-key-reused")
            return
        assert got.status_code == 201, got.text
        order = Order(got.json()["id"], app, str(body["prompt"]), self.world.now)
        self.orders.append(order)
        if key:
            self.keys[app, key] = (order, body)
        if self.world.on_create or answer in ("busy", "away"):  # it waits, or came behind those who wait
            assert got.json()["state"] == "created"
        elif answer == "lost":
            order.unknown = True
            self.happened(app, "submission.unknown", order.name)
        elif answer == "refuse":
            self.moved(order, "failed")
        else:
            self.moved(order, "queued")
            job = self.job(order)
            assert job is not None
            order.remote = job.id
        assert got.json()["state"] == order.state

    @precondition(lambda self: self.keys)
    @rule(pick=PICK)
    def repeat(self, pick: int) -> None:
        (app, key), (order, body) = list(self.keys.items())[pick % len(self.keys)]
        creates = self.world.creates
        got = self.do(self._post(body, app, key))
        assert (got.status_code, got.json()["id"], got.headers["idempotent-replayed"]) == (201, order.name, "true")
        assert self.world.creates == creates

    async def _post(self, body: dict[str, Any], app: str, key: str | None) -> httpx.Response:
        named = {"Idempotency_Key": key} if key else {}
        bell = self.world.parts.submitter.bell
        bell.clear()
        asking = asyncio.create_task(self.api("POST", "/v1/tasks", app, body, **named))
        ringing = asyncio.create_task(bell.wait())
        await asyncio.wait({asking, ringing}, return_when=asyncio.FIRST_COMPLETED)
        ringing.cancel()
        for placement in self.world.parts.submitter.take(10):
            await place.send(self.world.parts, placement)
        return await asking

    @precondition(lambda self: self.orders)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        order = self.a_task(pick)
        job = self.job(order)
        cancelled_before = order.state == "cancelled"
        free = order.state == "created" and job is None
        status = None if job is None else job.status
        got = self.do(self.api("POST", f"/v1/tasks/{order.name}/cancel", order.app))
        if got.status_code == 200:
            assert got.json()["state"] == "cancelled"
            assert cancelled_before or free or (order.state == "queued" and status in ("queued", "cancelled"))
            if not cancelled_before:
                self.moved(order, "cancelled")
        else:
            assert got.status_code == 409, got.text
            assert not free
            self.do(self.look_around())
            assert order.state != "cancelled" or status == "cancelled"

    @precondition(lambda self: self.orders)
    @rule(pick=PICK)
    def forget(self, pick: int) -> None:
        order = self.a_task(pick)
        got = self.do(self.api("POST", f"/v1/tasks/{order.name}/forget", order.app))
        assert got.status_code == (200 if order.settled else 409)
        if order.settled:
            order.forgotten = True
            assert order.prompt not in got.text

    # --- the provider ---

    @precondition(lambda self: any(map(self.job, self.orders)))
    @rule(pick=PICK, said=st.sampled_from(STATES), times=st.integers(1, 3), in_truth=st.booleans())
    def callback(self, pick: int, said: str, times: int, in_truth: bool) -> None:
        """In any order, repeated, and not always true."""
        order, job = self._placed(pick)
        if in_truth:
            job.status = said
        for _ in range(times):
            if self._calls_back(job, orjson.dumps(job.as_ark(said))) and not order.forgotten:
                self.heard(order, said)
                order.remote = job.id

    @precondition(lambda self: any(map(self.job, self.orders)))
    @rule(
        pick=PICK,
        body=st.sampled_from([b"", b"{", b"[1]", b'{"status":"succeeded"}', b'{"id":"cgt-1","status":5}', b"\xff\x00"]),
    )
    def garbled_callback(self, pick: int, body: bytes) -> None:
        _, job = self._placed(pick)
        self._calls_back(job, body)

    @precondition(lambda self: any(map(self.job, self.orders)))
    @rule(pick=PICK, word=st.sampled_from(["pondering", "napping"]))
    def unknown_word(self, pick: int, word: str) -> None:
        order, job = self._placed(pick)
        if self._calls_back(job, orjson.dumps(job.as_ark(word))) and not order.forgotten:
            order.remote = job.id
            if word not in self.words:
                self.words.add(word)
                self.happened(order.app, "provider.unknown_status", order.name)

    @precondition(lambda self: any(order.remote for order in self.orders))
    @rule(pick=PICK, said=st.sampled_from(STATES))
    def callback_about_another(self, pick: int, said: str) -> None:
        """Under our token, with a remote id that is not the one we know: a person has to look, and nothing moves."""
        known = [order for order in self.orders if order.remote]
        order = known[pick % len(known)]
        job = self.job(order)
        assert job is not None
        heard = self._calls_back(job, orjson.dumps(job.as_ark(said, id="cgt-somebody-elses")))
        if heard and not order.conflict and not order.forgotten:
            order.conflict = True
            self.happened(order.app, "callback.conflict", order.name)

    @precondition(lambda self: any(map(self.job, self.orders)))
    @rule(pick=PICK, said=st.sampled_from(STATES), how=st.sampled_from(["flipped", "shorter", "byteplus", "none"]))
    def forged_callback(self, pick: int, said: str, how: str) -> None:
        _, job = self._placed(pick)
        head, _, token = job.callback_url.rpartition("/")
        middle = len(token) // 2
        forged = {
            "flipped": f"{head}/{token[:middle]}{'A' if token[middle] != 'A' else 'B'}{token[middle + 1 :]}",
            "shorter": f"{head}/{token[:-1]}",
            "byteplus": f"{head[: -len('ark')]}byteplus/{token}",
            "none": f"{head}/",
        }[how]
        assert self.do(self.world.post_callback(forged, orjson.dumps(job.as_ark(said)))) == 404

    @precondition(lambda self: any(map(self.job, self.orders)))
    @rule(pick=PICK, to=st.sampled_from(STATES))
    def provider_moves_on(self, pick: int, to: str) -> None:
        """And tells nobody."""
        _, job = self._placed(pick)
        if advances(job.status, to):
            job.status = to

    def _placed(self, pick: int) -> tuple[Order, Job]:
        placed = [(order, job) for order in self.orders if (job := self.job(order)) is not None]
        return placed[pick % len(placed)]

    def _calls_back(self, job: Job, body: bytes) -> bool:
        """Taken, whatever it says, as long as its token lives."""
        status = self.do(self.world.post_callback(job.callback_url, body))
        in_time = self.world.now // 1000 - job.created_s <= TOKEN_LIVES_S
        assert status == (200 if in_time else 404)
        return in_time

    # --- time, and the rounds of the loops ---

    @rule(minutes=st.sampled_from([0.1, 1, 10, 90, 600, 2_000, 6_000]))
    def silence(self, minutes: float) -> None:
        self.world.silence(minutes=minutes)

    @rule(answers=st.lists(st.sampled_from([200, 404, 429, 500]), max_size=2))
    def reconcile(self, answers: list[int]) -> None:
        self.world.on_query = [httpx.Response(status, json=REFUSED) for status in answers]
        self.do(self.world.reconcile())
        self.world.on_query = []
        self.do(self.look_around())

    @rule(answer=st.sampled_from(["accept", "accept", "busy", "away", "lost"]))
    def place_what_waits(self, answer: str) -> None:
        self.world.on_create = list(CREATE[answer])
        self.do(self.world.send())
        self.do(self.look_around())

    @rule()
    def deliver(self) -> None:
        self.do(self.world.deliver())
        self.do(self.statuses())

    @rule()
    def crash(self) -> None:
        """Whatever was only in memory is gone."""
        self.do(self.world.crash())

    # --- subscribers ---

    @precondition(lambda self: len(self.listeners) < FULL // 2)
    @rule(app=st.sampled_from(APPS), host=st.sampled_from(HOSTS), wants=st.sampled_from(WANTS))
    def subscribe(self, app: str, host: str, wants: tuple[str, ...]) -> None:
        asked = {"target": f"https://{host}/"} | ({"events": list(wants)} if wants else {})
        got = self.do(self.api("POST", "/v1/subscriptions", app, asked))
        assert got.status_code == 201
        self.listeners.append(Listener(got.json()["id"], app, host, wants or ("task.*",), [got.json()["secret"]]))

    @precondition(lambda self: self.listeners)
    @rule(pick=PICK, verb=st.sampled_from(["pause", "resume", "rotate", "test", "delete"]))
    def manage(self, pick: int, verb: str) -> None:
        listener = self.a_listener(pick)
        path = f"/v1/subscriptions/{listener.name}"
        if verb == "delete":
            got = self.do(self.api("DELETE", path, listener.app))
        else:
            got = self.do(self.api("POST", f"{path}/{verb}", listener.app))
        if listener.status == "deleted":
            assert got.status_code == 404
            return
        match verb:
            case "test" if listener.status != "active":
                assert got.status_code == 409
            case "test":
                assert got.status_code == 202
                self.alerts["test", None] += 1
                listener.owed.append((None, None, "test"))
            case "rotate":
                listener.secrets.append(got.json()["secret"])
            case _:
                listener.status = {"pause": "paused", "resume": "active", "delete": "deleted"}[verb]

    @rule(host=st.sampled_from(HOSTS), mood=MOODS, times=st.integers(1, 30))
    def mood(self, host: str, mood: int | None, times: int) -> None:
        """What a subscriber answers next; None: it is not there."""
        answer = httpx.ConnectError("refused") if mood is None else httpx.Response(mood)
        self.world.on_notice[host] = [answer] * times
        if mood == 410:
            self.gone.add(host)
        elif mood != 200:
            self.failing.add(host)

    @precondition(lambda self: any(listener.owed for listener in self.listeners))
    @rule(pick=PICK)
    def resend(self, pick: int) -> None:
        told = [listener for listener in self.listeners if listener.owed]
        listener = told[pick % len(told)]
        known = self.do(self.all_of("/v1/deliveries", listener.app, 50, subscription=listener.name))
        got = self.do(self.api("POST", f"/v1/deliveries/{known[pick % len(known)]['id']}/resend", listener.app))
        assert got.status_code == (200 if listener.status == "active" else 409)

    @precondition(lambda self: self.listeners)
    @rule(pick=PICK)
    def recover(self, pick: int) -> None:
        listener = self.a_listener(pick)
        got = self.do(self._recover(listener))
        wanted = {"active": 202, "paused": 202, "disabled": 409, "deleted": 404}[listener.status]
        assert got.status_code in (wanted, 409), got.text

    async def _recover(self, listener: Listener) -> httpx.Response:
        since = {"since": "2026-01-01T00:00:00Z"}
        return await self.api("POST", f"/v1/subscriptions/{listener.name}/recover", listener.app, since)

    @rule()
    def long_work(self) -> None:
        self.do(work.step(self.world.parts))

    # --- looking ---

    @rule(
        app=st.sampled_from(APPS),
        limit=st.integers(1, 4),
        state=st.sampled_from([None, "created", "queued", "succeeded,failed"]),
    )
    def list_tasks(self, app: str, limit: int, state: str | None) -> None:
        rows = self.do(self.all_of("/v1/tasks", app, limit, **({"state": state} if state else {})))
        wanted = [o.name for o in self.orders if o.app == app and (state is None or o.state in state.split(","))]
        assert [row["id"] for row in rows] == wanted[::-1]

    @rule(pick=PICK)
    def trespass(self, pick: int) -> None:
        """By the name of another app's thing: as if it were not there."""
        order, listener = self.a_task(pick), self.a_listener(pick)
        paths = [("GET", ""), ("POST", "/cancel"), ("POST", "/forget"), ("GET", "/timeline"), ("GET", "/explain")]
        tries = [(order.app, method, f"/v1/tasks/{order.name}{path}") for method, path in paths]
        paths = [("GET", ""), ("POST", "/pause"), ("POST", "/rotate"), ("POST", "/test"), ("DELETE", "")]
        tries += [(listener.app, method, f"/v1/subscriptions/{listener.name}{path}") for method, path in paths]
        for app in APPS:
            for row in self.do(self.all_of("/v1/deliveries", app, 100))[:1]:
                tries += [(app, "GET", f"/v1/deliveries/{row['id']}"), (app, "POST", f"/v1/deliveries/{row['id']}/resend")]
        for app, method, path in tries:
            assert self.do(self.api(method, path, APPS[app == APPS[0]])).status_code == 404, path

    @invariant()
    def agrees(self) -> None:
        self.steps += 1
        self.do(self._check_tasks())
        self.do(self._check_feed())
        self.do(self._check_deliveries())

    async def _check_tasks(self) -> None:
        shown = await self.shown()
        assert len(shown) == len(self.orders)
        for order in self.orders:
            task, job = shown[order.name], self.job(order)
            assert (task["state"], task["sequence"]) == (order.state, len(order.told)), order
            assert (task["ended_at"] is not None) == order.settled
            assert task["remote_id"] in (None, job and job.id)
        if self.orders:
            await self._check_tag(self.orders[self.steps % len(self.orders)], shown)

    async def _check_tag(self, order: Order, shown: dict[str, Any]) -> None:
        """It changes when the task does, and only then."""
        path = f"/v1/tasks/{order.name}"
        seen = await self.api("GET", path, order.app, **({"If_None_Match": order.tag} if order.tag else {}))
        task = shown[order.name]
        assert (seen.status_code == 304) == (task == order.shown), (order, task)
        assert seen.status_code == 304 or seen.json() == task
        order.shown, order.tag = task, seen.headers["etag"]

    async def _check_feed(self) -> None:
        """Each transition once and in order; and nothing else but what had to be told to a person."""
        for app in APPS:
            await self._read_on(app, limit=2 if self.steps % 8 == 0 else 50)
            told: dict[str, list[str]] = defaultdict(list)
            for entry in self.feed[app]:
                if entry["type"].startswith("task."):
                    told[entry["task"]].append(entry["type"])
                    assert entry["notice"]["data"]["sequence"] == len(told[entry["task"]])
            assert dict(told) == {order.name: order.told for order in self.orders if order.app == app and order.told}
        known = Counter((e["type"], e["task"]) for app in APPS for e in self.feed[app] if not e["type"].startswith("task."))
        assert {k: n for k, n in known.items() if k[0] not in OWN} == dict(self.alerts)

    async def _read_on(self, app: str, limit: int) -> None:
        while True:
            query = f"&cursor={self.cursor[app]}" if self.cursor[app] else ""
            page = (await self.api("GET", f"/v1/events?limit={limit}{query}", app)).json()
            self.feed[app] += page["data"]
            self.cursor[app] = page["next"]
            if len(page["data"]) < limit:
                return

    async def _check_deliveries(self) -> None:
        """Every promise is written down, once."""
        promised: dict[str, Counter[Owed]] = defaultdict(Counter)
        for app in APPS:
            for row in await self.all_of("/v1/deliveries", app, 100):
                promised[row["subscription"]][row["task"], row["sequence"], row["event"]] += 1
        assert promised == {listener.name: Counter(listener.owed) for listener in self.listeners if listener.owed}

    # --- the end of each life ---

    def teardown(self) -> None:
        try:
            self.do(self._settle_down())
        finally:
            self.do(self.world.__aexit__())
            self.runner.close()

    async def _settle_down(self) -> None:
        """Everybody heals, everything is recovered: then everybody was told everything, in words that anybody can verify."""
        await self._quiet()
        await self.statuses()
        waiting = {
            row["subscription"] for app in APPS for row in await self.all_of("/v1/deliveries", app, 100, state="pending")
        }
        assert waiting <= {listener.name for listener in self.listeners if listener.status == "paused"}, "nobody told its lane"
        self.world.on_notice.clear()
        living = [listener for listener in self.listeners if listener.status != "deleted"]
        for listener in living:
            await self.api("POST", f"/v1/subscriptions/{listener.name}/resume", listener.app)
            await self._recover(listener)
        await self._quiet()
        bodies = {entry["id"]: entry["notice"] for app in APPS for entry in self.feed[app]}
        assert len(bodies) == sum(map(len, self.feed.values()))
        for listener in living:
            rows = await self.all_of("/v1/deliveries", listener.app, 50, subscription=listener.name)
            assert {row["state"] for row in rows} <= {"delivered"}, (listener, rows)
            for row in rows:
                said = [s for s in self.world.said if s.id == row["id"]]
                assert said, "it is delivered, and nobody heard it"
                assert {(s.host, s.type) for s in said} == {(listener.host, row["event"])}
                assert all(verifies(s, listener.secrets) for s in said)
                assert any(isinstance(s.answer, httpx.Response) and s.answer.is_success for s in said)
        now = self.world.now
        assert all(order.state != "lost" or now > START_MS + GIVEN_UP_MS for order in self.orders)

    async def _quiet(self) -> None:
        """Time passes, until nothing is to be done any more that only takes time."""
        for _ in range(60):
            worked = await work.step(self.world.parts)
            delivered = await self.world.deliver()
            self.world.silence(minutes=120)
            [lanes] = await self.world.rows("SELECT count(*) AS n FROM lane WHERE due_at IS NOT NULL")
            if not (worked or delivered or lanes.n):
                return


def verifies(said: Any, secrets: list[str]) -> bool:
    """As Standard Webhooks defines it, with one of the secrets that were ever shown."""
    stamp = said.headers["webhook-timestamp"]
    content = f"{said.id}.{stamp}.".encode() + said.body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    good = {"v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys}
    return not good.isdisjoint(said.headers["webhook-signature"].split(" "))
