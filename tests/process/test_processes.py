"""What survives when processes do not: kill -9, SIGTERM and a full disk, on real processes over real sockets."""

import asyncio
import resource
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from service.domain import ids
from service.loops import DRAIN_S
from service.signing import CallbackTokens
from tests.conftest import empty
from tests.process.harness import KEYS, PROVIDER_KEY, Receiver, Stage, free_port, providing, receiving, until

DONE = ["task.queued", "task.running", "task.succeeded"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def provider_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with providing(tmp_path_factory.mktemp("provider")) as url:
        yield url


@pytest.fixture
def stage(tmp_path: Path, receiver: Receiver, provider_url: str) -> Iterator[Stage]:
    stage = Stage(tmp_path, receiver, provider_url)
    yield stage
    stage.close()


def told_once_for_each_transition(stage: Stage, tasks: list[str], secret: str) -> None:
    until(lambda: {stage.state(task) for task in tasks} == {"succeeded"}, "all end")
    happened = {task: stage.transitions(task) for task in tasks}
    until(lambda: all(len(stage.receiver.about(task)) >= len(steps) for task, steps in happened.items()), "their notices")
    for task, steps in happened.items():
        assert sorted(stage.receiver.about(task).values()) == sorted(steps)
        assert set(steps) <= set(DONE)
        assert steps[-1] == "task.succeeded"
    by_name: dict[str, bytes] = {}
    for name, _, raw, headers in stage.receiver.heard:
        assert by_name.setdefault(name, raw) == raw, "a repetition says the same"
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        assert Webhook(secret).sign(name, at, raw.decode()) in headers["webhook-signature"].split()


def rows(stage: Stage, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(stage.home / "callsheet.db")) as sql:
        return sql.execute(statement).fetchall()


def no_secret_was_said(stage: Stage, *secrets: str) -> None:
    said = stage.said()
    assert "started" in said, "they do log"
    assert "/callbacks/" not in said
    for secret in (*KEYS.values(), PROVIDER_KEY, *secrets):
        assert secret not in said


def test_a_killed_service_loses_nothing_and_tells_each_transition_once(stage: Stage) -> None:
    service = stage.serve()
    secret = stage.subscribe()
    tasks = [stage.order(f"number {i}") for i in range(3)]
    until(lambda: len(stage.receiver.heard) >= 6, "all run, and everybody knows: nothing is in the air")
    last = {"model": "seedance-1-0-pro-250528", "prompt": "its last breath"}
    headers = {"Idempotency-Key": "last-breath", "Prefer": "wait=0"}
    acknowledged = stage.http.post("/v1/tasks", json=last, headers=headers)
    service.kill()
    assert acknowledged.status_code == 201
    stage.serve()
    again = stage.http.post("/v1/tasks", json=last, headers=headers)
    assert again.json()["id"] == acknowledged.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert {stage.state(task) for task in tasks} <= {"queued", "running", "succeeded"}, "everything acknowledged is there"
    tasks.append(stage.order("after its death"))
    told_once_for_each_transition(stage, tasks, secret)
    no_secret_was_said(stage, secret)


def test_an_order_of_the_demo_survives_the_death_of_the_sandbox_with_its_service(tmp_path: Path, receiver: Receiver) -> None:
    stage = Stage(tmp_path, receiver, None)
    try:
        service = stage.serve()
        secret = stage.subscribe()
        task = stage.order("a slow one [delay:0]")
        until(lambda: "task.running" in stage.receiver.about(task).values(), "it runs")
        service.kill()
        stage.serve()
        told_once_for_each_transition(stage, [task], secret)
    finally:
        stage.close()


def test_a_caller_that_waits_is_answered_when_the_service_stops(stage: Stage) -> None:
    service = stage.serve()
    task = stage.order("never ends [stuck:queued]")
    answers: list[int] = []

    def wait() -> None:
        answers.append(stage.http.get(f"/v1/tasks/{task}", headers={"Prefer": "wait=60"}).status_code)

    caller = threading.Thread(target=wait)
    caller.start()
    until(lambda: stage.http.get("/readyz").status_code == 200, "the wait has begun")
    code, _ = service.terminate()
    caller.join(20)
    assert (code, answers) == (0, [200])


def test_headers_without_end_are_cut_off(stage: Stage) -> None:
    stage.serve()
    with socket.create_connection(("127.0.0.1", stage.port)) as attacker:
        attacker.settimeout(20)
        attacker.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        sent, answer = 0, b""
        try:
            while sent < 50_000_000:
                attacker.sendall(b"X-n: " + b"a" * 100_000 + b"\r\n")
                sent += 100_000
        except OSError:
            pass
        with suppress(OSError):
            answer = attacker.recv(1_000)
    assert sent < 10_000_000
    assert answer == b"" or b" 431 " in answer
    assert stage.http.get("/healthz").status_code == 200


def test_a_second_service_is_refused_and_sigterm_finishes_what_is_under_way_within_its_bound(stage: Stage) -> None:
    service = stage.serve()
    second = stage.run("serve", port=free_port())
    assert second.popen.wait(20) == 1
    second.close()
    assert "another process has" in "".join(second.lines)
    stage.subscribe()
    stage.receiver.hold.clear()
    stage.order("a notice in the air [stuck:queued]")
    assert stage.receiver.arrived.wait(20)
    release = threading.Timer(0.7, stage.receiver.hold.set)
    release.start()
    code, took_s = service.terminate()
    release.join()
    assert code == 0
    assert 0.4 < took_s < DRAIN_S, "it waited for the answer, and not for long"
    assert "stopped" in stage.said()
    assert not (stage.home / "callsheet.db-wal").exists(), "the log was folded in"
    assert rows(stage, "SELECT state, attempts FROM delivery") == [("delivered", 1)]


def test_a_full_disk_is_said_and_got_over(stage: Stage) -> None:
    service = stage.serve()
    task = stage.order("before [stuck:queued]")
    [(submission,)] = rows(stage, "SELECT submission_id FROM task")
    keys = KEYS["CALLSHEET_SIGNING_KEYS"].split(",")
    token = CallbackTokens(keys, lambda: int(datetime.now(UTC).timestamp() * 1000)).mint("ark", submission)
    remote_id = stage.http.get(f"/v1/tasks/{task}").json()["remote_id"]
    callback = {"id": remote_id, "status": "running"}
    limit = resource.prlimit(service.popen.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.popen.pid, resource.RLIMIT_FSIZE, (1, limit[1]))
    for method, path, body in (
        ("POST", "/v1/tasks", {"model": "seedance-1-0-pro-250528", "prompt": "two"}),
        ("POST", "/v1/subscriptions", {"target": stage.receiver.url}),
        ("POST", f"/callbacks/ark/{token}", callback),
        ("GET", "/readyz", None),
    ):
        answer = stage.http.request(method, path, json=body)
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True), path
    assert stage.http.get(f"/v1/tasks/{task}").status_code == 200, "reading goes on"
    assert stage.http.get("/healthz").status_code == 200
    resource.prlimit(service.popen.pid, resource.RLIMIT_FSIZE, limit)
    assert stage.http.post(f"/callbacks/ark/{token}", json=callback).status_code == 200
    assert stage.http.get("/readyz").status_code == 200
    assert stage.state(task) == "running"
    assert len(stage.http.get("/v1/tasks").json()["data"]) == 1, "nothing that was refused was stored"
    service.terminate()
    assert rows(stage, "PRAGMA integrity_check") == [("ok",)]
    no_secret_was_said(stage, token)


def test_on_postgres_web_and_worker_may_die_and_come_back(stage: Stage, postgres_url: str) -> None:
    asyncio.run(empty(postgres_url))
    stage.database_url = postgres_url
    worker = stage.run("work")
    web = stage.serve("--no-loops")
    secret = stage.subscribe()
    tasks = [stage.order(f"number {i}") for i in range(3)]
    until(lambda: len(stage.receiver.heard) >= 6, "all run, and everybody knows: nothing is in the air")
    worker.kill()
    web.kill()
    worker = stage.run("work")
    stage.serve("--no-loops")
    tasks.append(stage.order("after their deaths"))
    told_once_for_each_transition(stage, tasks, secret)
    code, _ = worker.terminate()
    assert code == 0
    assert all(ids.decode(ids.TASK, task) for task in tasks)
    no_secret_was_said(stage, secret)
