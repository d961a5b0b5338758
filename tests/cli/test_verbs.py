"""Each verb about tasks, subscriptions, deliveries and keys, against a real service: for people and for programs."""

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
from typer.testing import Result

from service.settings import reach
from tests.cli.conftest import Call
from tests.cli.running import Running
from tests.process.harness import until

MODEL = ("--model", "seedance-1-0-pro-250528")


def document(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def text(result: Result, code: int = 0) -> str:
    assert result.exit_code == code, result.output
    return str(result.stdout)


@pytest.fixture
def task(call: Call) -> Any:
    return document(call("submit", "a cat", *MODEL, "--json"))


def test_an_order_is_placed_and_shown_for_people(call: Call) -> None:
    shown = text(call("submit", "a cat on a roof", *MODEL, "--duration", "5", "--no-watermark", "--metadata", "team=film"))
    assert "task_" in shown
    assert "a cat on a roof" in shown
    assert "team=film" in shown


def test_an_order_is_waited_for_and_its_way_is_told_aside(call: Call) -> None:
    result = call("submit", "a cat", *MODEL, "--wait", "--json")
    task = document(result)
    assert task["state"] == "succeeded"
    assert "submission 1 to ark" in result.stderr
    assert "succeeded (#" in result.stderr
    assert task["result"]["video_url"] in text(call("show", task["id"]))


def test_an_order_that_fails_ends_with_1(call: Call) -> None:
    task = document(call("submit", "a cat [fail]", *MODEL, "--wait", "--json"), code=1)
    assert (task["state"], bool(task["error"]["suggestion"])) == ("failed", True)


def test_an_order_comes_from_a_file_and_the_options_go_over_it(call: Call) -> None:
    order = {"model": MODEL[1], "prompt": "from the file", "duration": 5, "metadata": {"a": "1", "b": "1"}}
    given = ("--file", "-", "--duration", "7", "--metadata", "b=2", "--first-frame", "https://example.com/1.png")
    placed = document(call("submit", *given, "--json", input=json.dumps(order)))
    assert placed["order"] | {"metadata": None} == {
        "model": MODEL[1],
        "prompt": "from the file",
        "duration": 7,
        "metadata": None,
        "content": [{"type": "image_url", "image_url": {"url": "https://example.com/1.png"}, "role": "first_frame"}],
    }
    assert placed["metadata"] == {"a": "1", "b": "2"}


def test_a_dry_run_places_nothing(call: Call) -> None:
    checked = document(call("submit", "a cat", *MODEL, "--metadata", "dry=yes", "--dry-run", "--json"))
    assert checked["valid"] is True
    assert "tokens=" in text(call("submit", "a cat", *MODEL, "--dry-run"))
    assert document(call("tasks", "--metadata", "dry=yes", "--json"))["data"] == []


def test_the_same_key_places_the_same_task(call: Call) -> None:
    first, second = (document(call("submit", "a cat", *MODEL, "--idempotency-key", "k-1", "--json")) for _ in range(2))
    assert first["id"] == second["id"]


def test_tasks_are_listed_over_as_many_pages_as_it_takes(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [document(call("submit", "a cat", *MODEL, "--metadata", "page=1", "--json"))["id"] for _ in range(3)]
    monkeypatch.setattr("service.cli.client.PAGE", 2)
    page = document(call("tasks", "--metadata", "page=1", "--json"))
    assert [t["id"] for t in page["data"]] == names[::-1]
    shown = text(call("tasks", "--metadata", "page=1", "--limit", "2"))
    assert [name in shown for name in names] == [False, True, True]
    assert "more" in shown
    assert "No tasks." in text(call("tasks", "--state", "lost"))


def test_a_task_is_shown_with_everything_that_happened(call: Call, task: Any) -> None:
    assert document(call("show", task["id"], "--json"))["id"] == task["id"]
    assert document(call("show", task["id"], "--timeline", "--json"))["data"][0]["type"] == "order"
    assert "submission 1 to ark" in text(call("show", task["id"], "--timeline"))


def test_a_task_is_followed_to_its_end(call: Call, task: Any) -> None:
    result = call("watch", task["id"], "--json")
    assert document(result)["state"] == "succeeded"
    assert "succeeded (#" in result.stderr


def test_a_task_is_explained(call: Call, task: Any) -> None:
    assert document(call("show", task["id"], "--explain", "--json"))["why"]
    assert "why" in text(call("show", task["id"], "--explain"))


def test_a_task_that_ended_is_not_cancelled_and_the_reason_is_told(call: Call) -> None:
    task = document(call("submit", "a cat", *MODEL, "--wait", "--json"))
    problem = document(call("cancel", task["id"], "--json"), code=1)
    assert (problem["status"], bool(problem["detail"])) == (409, True)


def test_a_waiting_order_is_cancelled(call: Call) -> None:
    waiting = [document(call("submit", "a cat [429:9]", *MODEL, "--json")) for _ in range(2)]
    assert [task["state"] for task in waiting] == ["created", "created"]
    assert document(call("cancel", waiting[0]["id"], "--json"))["state"] == "cancelled"
    assert "cancelled" in text(call("cancel", waiting[1]["id"]))


def test_a_task_that_is_not_there_cannot_be_cancelled(call: Call) -> None:
    problem = document(call("cancel", "task_0000000000000", "--json"), code=1)
    assert problem["status"] == 404


def test_providers_are_asked_about_named_tasks_and_about_all(call: Call) -> None:
    stuck = [document(call("submit", "a cat [stuck:queued]", *MODEL, "--json"))["id"] for _ in range(2)]
    ended = document(call("submit", "a cat", *MODEL, "--wait", "--json"))["id"]
    [one] = document(call("reconcile", stuck[0], "--json"))["data"]
    assert one == {"task": stuck[0], "asked": True, "state": "queued", "why_not": None}
    mixed = document(call("reconcile", stuck[1], ended, "--json"), code=1)["data"]
    assert [(e["task"], e["asked"], "succeeded" in (e["why_not"] or "")) for e in mixed] == [
        (stuck[1], True, False),
        (ended, False, True),
    ]
    everything = text(call("reconcile"))
    assert [name in everything for name in (*stuck, ended)] == [True, True, False]
    assert text(call("reconcile", "task_0000000000000"), code=1).count("not asked") == 1
    assert call("reconcile", "../keys").exit_code == 2
    assert call("reconcile", stuck[0], "--key", "csk_not-a-real-key-at-all").exit_code == 1
    until(lambda: document(call("show", stuck[1], "--timeline", "--json"))["polls"]["asked"], "its provider was asked")


def test_a_subscription_lives_through_all_its_verbs(call: Call, sandbox: str) -> None:
    target = f"{sandbox}/receiver/cli"
    made = document(call("subscribe", target, "--events", "task.succeeded,task.failed", "--metadata", "team=film", "--json"))
    assert made["secret"].startswith("whsec_")
    assert (made["events"], made["filter"]) == (["task.succeeded", "task.failed"], {"metadata": {"team": "film"}})
    name = made["id"]
    assert "whsec_" in text(call("subscribe", "add", target, "--label", "other"))
    assert {"cli", "other"} <= set(text(call("subscribe", "list")).replace("/", " ").split())
    assert name in [s["id"] for s in document(call("subscribe", "list", "--json"))["data"]]
    assert document(call("subscribe", "pause", name, "--json"))["status"] == "paused"
    assert "active" in text(call("subscribe", "resume", name))
    assert document(call("subscribe", "change", name, "--label", "new", "--json"))["label"] == "new"
    assert document(call("subscribe", "rotate", name, "--json"))["secret"] != made["secret"]
    assert "new" in text(call("show", name))
    assert "removed" in text(call("subscribe", "remove", name))
    assert document(call("show", name, "--json"), code=1)["status"] == 404


def test_a_subscription_has_a_schedule_and_options_of_its_channel(call: Call, sandbox: str) -> None:
    target = f"{sandbox}/receiver/options"
    made = document(call("subscribe", target, "--option", "signature=v1a", "--schedule", "5,60", "--json"))
    assert (made["options"], made["schedule"], "secret" in made) == ({"signature": "v1a"}, [5, 60], False)
    assert made["public_key"].startswith("whpk_")
    rotated = document(call("subscribe", "rotate", made["id"], "--json"))["public_key"]
    assert rotated.startswith("whpk_")
    assert rotated != made["public_key"]
    assert rotated in text(call("show", made["id"]))
    for said, kept in (("none", []), ("7", [7]), ("default", None)):
        assert document(call("subscribe", "change", made["id"], "--schedule", said, "--json"))["schedule"] == kept
    assert call("subscribe", "change", made["id"], "--schedule", "soon").exit_code == 2
    assert call("subscribe", "change", made["id"], "--option", "signature=v1").exit_code == 1


def test_an_app_is_forgotten_as_a_job(call: Call, service: Running) -> None:
    admin = {"Authorization": f"Bearer {reach(service.env).key}"}
    made = httpx.post(f"{service.url}/v1/apps", json={"id": "film"}, headers=admin, trust_env=False)
    assert made.status_code == 201
    assert document(call("keys", "forget-app", "nobody", "--json"), code=1)["status"] == 404
    task = document(call("submit", "a cat", *MODEL, "--app", "film", "--wait", "--json"))
    job = document(call("keys", "forget-app", "film", "--json"))
    assert job["kind"] == "forget"
    while document(call("jobs", job["id"], "--app", "film", "--json"))["state"] == "running":
        pass  # each question is a request, and the janitor was rung
    assert "prompt" not in document(call("show", task["id"], "--app", "film", "--json"))["order"]
    assert "job_" in text(call("jobs", "--app", "film"))


def test_a_delivery_is_listed_shown_and_sent_again(call: Call, sandbox: str) -> None:
    name = document(call("subscribe", f"{sandbox}/receiver/again", "--json"))["id"]
    sent = document(call("subscribe", "test", name, "--json"))["delivery"]
    assert "on its way" in text(call("subscribe", "test", name))
    listed = document(call("deliveries", "--subscription", name, "--json"))["data"]
    assert sent in [d["id"] for d in listed]
    assert sent in text(call("deliveries", "--subscription", name))
    assert document(call("show", sent, "--json"))["event"] == "test"
    assert "attempt" in text(call("show", sent)).lower()
    assert document(call("resend", sent, "--json"))["id"] == sent
    assert sent in text(call("resend", sent))


def test_a_key_is_made_used_and_revoked(call: Call) -> None:
    made = document(call("keys", "create", "--scopes", "read", "--label", "nightly", "--json"))
    key = {"CALLSHEET_API_KEY": made["key"]}
    assert document(call("tasks", "--json", **key))["object"] == "list"
    assert document(call("submit", "a cat", *MODEL, "--json", **key), code=1)["status"] == 403
    assert "nightly" in text(call("keys"))
    assert made["id"] in [k["id"] for k in document(call("keys", "list", "--json"))["data"]]
    assert made["key"] not in text(call("keys"))
    assert "revoked" in text(call("keys", "revoke", made["id"]))
    assert document(call("tasks", "--json", **key), code=1)["status"] == 401


def test_a_fernet_key_is_made_without_asking_anybody(call: Call) -> None:
    from cryptography.fernet import Fernet

    nowhere = {"CALLSHEET_PUBLIC_URL": "http://127.0.0.1:1"}
    Fernet(text(call("keys", "fernet", **nowhere)).strip())
    Fernet(document(call("keys", "fernet", "--json", **nowhere))["key"])


def test_the_providers_are_named(call: Call) -> None:
    assert document(call("providers", "--json"))["data"][0]["provider"] == "ark"
    assert "ark" in text(call("providers"))


def test_the_feed_is_followed_from_now_on(call: Call, service: Running) -> None:
    command = [sys.executable, "-m", "service", "watch", "--events", "task.succeeded", "--count", "1", "--json"]
    with subprocess.Popen(command, env=service.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        assert "Listening" in watching.stderr.readline()
        task = document(call("submit", "a cat", *MODEL, "--json"))
        said = watching.communicate(timeout=60)[0]
    event = json.loads(said)
    assert (watching.returncode, event["type"]) == (0, "task.succeeded")
    assert event["notice"]["data"]["task"]["id"] == task["id"]
