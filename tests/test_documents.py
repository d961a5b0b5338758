"""What is written is true: settings, rooms and states are compared with the code, and every example is carried out."""

import ast
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.lifecycle import chart
from service.settings import VARIABLES, Variable, reach
from tests.cli.running import Running, environment, running

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "service" / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def row(v: Variable) -> str:
    default = v.default if not v.default or " " in v.default else f"`{v.default}`"
    return f"| `{v.name}` | {default} | {v.meaning} |"


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_settings_in_the_readme_are_those_of_the_code() -> None:
    assert re.findall(r"^\| `.*\|$", README, re.MULTILINE) == [row(v) for v in VARIABLES]


def test_every_room_has_a_line_and_says_what_it_is_for() -> None:
    rooms = [p for p in (ROOT / "service").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    named = {p.stem for p in rooms if not p.stem.startswith("__")}
    assert set(re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)) == named
    sources = [p / "__init__.py" if p.is_dir() else p for p in rooms if not p.stem.startswith("__")]
    assert [p for p in sources if not ast.get_docstring(ast.parse(p.read_text()))] == []


def test_the_chart_of_states_is_the_table_itself() -> None:
    found = re.search(r"<!-- states -->\n(.*?)\n<!-- /states -->", GUIDE, re.DOTALL)
    assert found is not None
    assert found[1] == chart()


def test_the_files_that_a_page_leads_to_are_there() -> None:
    for page in (ROOT / "README.md", ROOT / "service" / "README.md"):
        links = [to for to in re.findall(r"\]\(([^)]+)\)", page.read_text()) if "://" not in to]
        assert [to for to in links if not (page.parent / to).exists()] == []
    followed = re.findall(r"^\d\. `(.+?\.py)`", GUIDE, re.MULTILINE)
    assert followed == ["web/callbacks.py", "flow/record.py", "flow/deliver.py", "channels/slack.py"]
    assert [path for path in followed if not (ROOT / "service" / path).exists()] == []


@pytest.mark.parametrize(
    "path", ["README.md", "CHANGELOG.md", "service/README.md", "service/providers/README.md", "infra/SECURITY.md"]
)
def test_no_page_names_a_path_of_some_machine(path: str) -> None:
    assert re.findall(r"(?<![\w.~])/(?:work|tmp|home|root|Users|opt|mnt)\b", (ROOT / path).read_text()) == []


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """As on a fresh machine: no provider, so the sandbox plays one."""
    home = tmp_path_factory.mktemp("documents")
    with running(environment(f"sqlite:///{home}/callsheet.db"), "serve", "--port", "0") as service:
        yield service


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples are curl's")
def test_every_curl_of_the_readme_works_as_it_stands(service: Running, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    env = os.environ | {"CALLSHEET": service.url, "KEY": reach(service.env).key or "", "CURL_HOME": str(tmp_path)}
    answers = []
    for block in [block for block in BLOCKS if "curl" in block]:
        done = subprocess.run(["bash", "-c", block], env=env, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), block
        answers.append(json.loads(done.stdout))
        env.setdefault("TASK", answers[0]["id"])
    ordered, watched, subscribed = answers
    assert ordered["object"] == watched["object"] == "task"
    assert watched["sequence"] > ordered["sequence"]
    assert subscribed["secret"].startswith("whsec_")


def test_every_verb_of_the_readme_is_one(service: Running) -> None:
    verbs = set(re.findall(r"callsheet (?:[a-z]+)", "\n".join([README, GUIDE])))
    from service.cli import app

    groups = {group.name for group in app.registered_groups}
    names = {command.name for command in app.registered_commands} | groups
    assert {verb.split()[1] for verb in verbs} <= names
