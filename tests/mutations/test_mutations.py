"""The bugs still fit the code they are about: whoever changes it hears of it here, in milliseconds."""

import ast
from pathlib import Path

import pytest

from tests.mutations.bugs import BUGS, Bug, broken

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("bug", BUGS, ids=[bug.path for bug in BUGS])
def test_a_bug_can_still_be_put_in(bug: Bug) -> None:
    source = (ROOT / bug.path).read_text()
    wrong = broken(bug, source)
    assert wrong != source
    assert ast.dump(ast.parse(wrong)) != ast.dump(ast.parse(source)), "it changes what is done, not only how it is written"
    assert [test for test in (*bug.tests, *bug.area) if not (ROOT / test).exists()] == []


def test_there_are_ten() -> None:
    assert len({bug.name for bug in BUGS}) == 10
