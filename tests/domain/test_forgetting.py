import json

import orjson

from service.domain import forgetting
from tests.channels.samples import notice, operational, task

PERSON = "a person's own words"


def test_an_order_keeps_what_says_nothing_about_a_person() -> None:
    known = {
        "model": "m",
        "duration": 5,
        "prompt": PERSON,
        "content": [PERSON],
        "callback_url": PERSON,
        "metadata": {"a": PERSON},
    }
    assert json.loads(forgetting.order(json.dumps(known))) == {"model": "m", "duration": 5, "forgotten": True}


def test_a_field_nobody_decided_about_is_forgotten() -> None:
    assert PERSON not in forgetting.order(json.dumps({"model": "m", "a_new_field": PERSON}))


def test_an_error_keeps_its_code_and_loses_its_message() -> None:
    known = {
        "code": "Sensitive",
        "message": PERSON,
        "category": "privacy",
        "retryable": False,
        "billed": None,
        "suggestion": "x",
    }
    assert json.loads(forgetting.error(json.dumps(known)) or "") == known | {"message": ""}
    assert forgetting.error(None) is None


def test_a_notice_keeps_what_happened_to_which_task_and_when() -> None:
    body = orjson.loads(forgetting.notice(notice(task(order={"prompt": PERSON})).body))
    assert body["type"] == "task.succeeded"
    assert body["data"]["task"] == {
        "id": "task_0d3kx9v2m4q7r",
        "state": "succeeded",
        "url": "https://callsheet.example.com/v1/tasks/task_0d3kx9v2m4q7r",
        "forgotten": True,
    }
    assert PERSON.encode() not in forgetting.notice(operational("callback.conflict", task_id="task_1", message=PERSON).body)
    assert forgetting.notice(b'{"something":"else"}') == b'{"forgotten":true}'
