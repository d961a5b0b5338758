"""Exit codes, and failures in words that help."""

import json
import subprocess
import sys
from dataclasses import fields

import pytest

from service.cli.client import Trouble
from service.cli.orders import OPTIONS
from service.cli.tables import clean, pairs, table
from service.cli.verb import Out, told
from service.cli.watching import frames, lines, say
from service.domain.order import Order
from service.web.shapes import OrderIn
from tests.cli.conftest import Call
from tests.cli.running import Running

NOWHERE = {"CALLSHEET_PUBLIC_URL": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("tasks", "--limit", "many"),
        ("show", "task_1/../../x"),
        ("show", "something"),
        ("submit", "a prompt without a model"),
        ("submit", "--file", "there-is-none.json"),
        ("submit", "a cat", "--model", "x", "--metadata", "no-equals-sign"),
        ("subscribe", "change", "sub_1"),
        ("tasks", "--app", "../other"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_why(call: Call, arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error" in result.stderr


def test_a_refused_order_names_each_wrong_field(call: Call) -> None:
    wrong = ("submit", "a cat", "--model", "seedance-1-0-pro-250528", "--duration", "500", "--ratio", "9:1")
    result = call(*wrong)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "  duration: " in result.stderr
    assert "  ratio: " in result.stderr
    problem = json.loads(call(*wrong, "--json").stdout)
    assert {e["field"] for e in problem["errors"]} == {"duration", "ratio"}


def test_where_nobody_answers_it_says_what_to_do(call: Call) -> None:
    result = call("tasks", **NOWHERE)
    assert result.exit_code == 1
    assert "callsheet serve" in result.stderr
    assert json.loads(call("tasks", "--json", **NOWHERE).stdout)["type"] == "about:away"


def test_a_wrong_key_is_told_and_never_shown(call: Call) -> None:
    result = call("tasks", "--key", "csk_not-a-real-key-at-all")
    assert result.exit_code == 1
    assert "Unauthorized" in result.stderr
    assert "not-a-real-key" not in result.output


def test_without_any_key_nothing_is_asked(call: Call) -> None:
    result = call("tasks", CALLSHEET_DATABASE_URL="sqlite:///no/such/place.db")
    assert result.exit_code == 1
    assert "CALLSHEET_API_KEY" in result.stderr


def test_a_key_made_on_this_machine_is_not_shown_to_an_address_typed_by_hand(call: Call) -> None:
    result = call("tasks", "--url", "http://callsheet.example")
    assert result.exit_code == 1
    assert "No key" in result.stderr


def test_something_else_at_that_address_is_told_apart(call: Call, sandbox: str) -> None:
    result = call("tasks", "--url", sandbox)
    assert result.exit_code == 1
    assert "is this its address?" in result.stderr


def test_every_field_of_an_order_is_an_option() -> None:
    ours = {p.name for p in OPTIONS} | {"prompt", "content", "tools", "metadata"}
    assert ours == {f.name for f in fields(Order)} == set(OrderIn.model_fields)


def test_every_verb_has_help_and_speaks_json(call: Call) -> None:
    verbs = "submit tasks show cancel reconcile watch deliveries resend providers serve work migrate settings doctor sandbox"
    for verb in [*([v] for v in verbs.split()), ["subscribe", "add"], ["keys", "create"]]:
        result = call(*verb, "--help")
        assert result.exit_code == 0, result.output
        assert "--json" in result.stdout


def test_a_verb_that_asks_imports_nothing_heavy(service: Running) -> None:
    heavy = ("sqlmodel", "sqlalchemy", "uvicorn", "starlette", "alembic", "asyncpg")
    code = f"""
import sys
from service.cli import main
sys.argv = ["callsheet", "tasks"]
try:
    main()
finally:
    print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    env = service.env | {"CALLSHEET_PUBLIC_URL": service.url}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_other_peoples_text_cannot_steer_the_terminal() -> None:
    assert clean("a\x1b[2Jb\nc\u202e") == "a [2Jb c "
    assert table(("a",), [("\x1b]0;title\x07",)]) == ["A", " ]0;title"]
    assert pairs({"a": "x" * 3_000})[0].endswith("…")


def test_events_are_read_as_the_feed_writes_them() -> None:
    sent = b'retry: 2000\nid: 1\n\n: beat\n\nid: 2\nevent: task.queued\ndata: {"prompt":"a\xe2\x80\xa8b"}\n\nid: 3\ndata: cut'
    chunks = [sent[i : i + 7] for i in range(0, len(sent), 7)]
    assert list(frames(lines(chunks))) == [("1", "", ""), ("2", "task.queued", '{"prompt":"a\u2028b"}')]


def test_an_unexpected_failure_is_one_line_without_the_drivers_classes() -> None:
    trouble = told(RuntimeError("(driver.Error) it broke\nparameters: secret"))
    assert isinstance(trouble, Trouble)
    assert trouble.lines() == ["RuntimeError: it broke"]


def test_a_notice_is_one_line_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    task = {"id": "task_1", "model": "m", "provider": None}
    moved = {"timestamp": "2026-11-20T22:33:00Z", "data": {"sequence": 3, "task": task}}
    alert = {"timestamp": "2026-11-20T22:33:00Z", "data": {"task_id": "task_1", "message": "look"}}
    say(Out(False), "at_1", "task.succeeded", moved)
    say(Out(False), "at_2", "submission.unknown", alert)
    say(Out(True), "at_3", "task.succeeded", moved)
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "2026-11-20T22:33:00Z  task.succeeded  task_1  #3  m  -"
    assert second == "2026-11-20T22:33:00Z  submission.unknown  task_1  look"
    assert json.loads(third) == {"cursor": "at_3", "type": "task.succeeded", "notice": moved}
