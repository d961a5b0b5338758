"""Log lines: one each, whatever they hold."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.log import Lines, configure


def line(people: bool, message: str = "task.moved", **fields: Any) -> str:
    record = logging.makeLogRecord(
        {"name": "callsheet.record", "levelno": logging.INFO, "levelname": "INFO", "msg": message} | fields
    )
    return Lines(people).format(record)


def test_a_line_for_machines_is_one_object_with_a_stable_name() -> None:
    wide = json.loads(line(False, task="task_1", sequence=3))
    assert (wide["event"], wide["level"], wide["task"], wide["sequence"]) == ("task.moved", "info", "task_1", 3)
    assert isinstance(wide["at"], float)


def test_a_line_for_people_is_the_same_and_short() -> None:
    said = line(True, task="task_1", sequence=3)
    assert said.split()[1:] == ["task.moved", "task=task_1", "sequence=3"]


@given(
    st.one_of(
        st.integers(),
        st.floats(),
        st.text(),
        st.binary(),
        st.just("\ud800"),
        st.just(2**70),
        st.dictionaries(st.integers(), st.text()),
    )
)
def test_nothing_that_is_said_breaks_or_splits_a_line(value: Any) -> None:
    for people in (True, False):
        said = line(people, reason=value)
        assert "\n" not in said
        assert "reason" in said
    json.loads(line(False, reason=value))


def test_nobody_can_write_on_the_terminal_of_who_reads_along() -> None:
    said = line(True, reason="\x1b[2J\nFAKE task.moved")
    assert "\x1b" not in said
    assert "\n" not in said


def test_an_exception_is_told_with_its_trace() -> None:
    try:
        raise ValueError("what happened")
    except ValueError as error:
        record = logging.makeLogRecord({"msg": "loop.failed", "exc_info": (type(error), error, error.__traceback__)})
    assert "ValueError: what happened" in json.loads(Lines(False).format(record))["trace"]
    assert Lines(True).format(record).endswith("ValueError: what happened")


@pytest.fixture
def as_it_was() -> Any:
    root, ours = logging.getLogger(), logging.getLogger("callsheet")
    kept = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], root.level, ours.level = kept


@pytest.mark.usefixtures("as_it_was")
def test_only_we_speak_below_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    logging.getLogger("callsheet.app").info("started", extra={"engine": "SQLite"})
    logging.getLogger("httpx").info("HTTP Request: POST https://hook.test/a-secret-path")
    logging.getLogger("somebody").warning("careful")
    said = [json.loads(one)["event"] for one in capsys.readouterr().err.splitlines()]
    assert said == ["started", "careful"]
