"""infra/SECURITY.md names the test of every control, and each of them exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "infra" / "SECURITY.md").read_text()


def existing() -> set[str]:
    trees = (ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py"))
    return {n.name for tree in trees for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 25
    assert sorted(named - existing()) == []


def test_every_threat_has_a_control_and_a_test() -> None:
    rows = [
        line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| threat")
    ]
    assert len(rows) > 10
    assert [row for row in rows if len(row) != 3 or not all(row) or "`test_" not in row[2]] == []


def test_every_file_and_verb_that_the_page_names_exists() -> None:
    assert all((ROOT / path).exists() for path in re.findall(r"`(tests/[\w/]+\.py)`", PAGE))
    from service.cli import app

    groups = {group.name: group.typer_instance for group in app.registered_groups if group.typer_instance is not None}
    verbs = {command.name for command in app.registered_commands}
    keys = {command.name for command in groups["keys"].registered_commands}
    for verb, second in re.findall(r"`callsheet (\w+)(?: (\w+))?", PAGE):
        assert verb in verbs | groups.keys()
        assert verb != "keys" or second in keys


def test_every_rotation_is_tried() -> None:
    page = PAGE.partition("## Rotations")[2]
    tried = set(re.findall(r"^(?:async )?def (test_\w+)", (ROOT / "tests/hostile/test_rotations.py").read_text(), re.MULTILINE))
    for kind in ("Signing keys", "Encryption keys", "API keys", "The operator's key", "Subscribers' secrets"):
        found = re.search(rf"\*\*{kind}\*\* \(`(test_\w+)`\)", page)
        assert found is not None, kind
        assert found[1] in tried
