"""Backups: made while the service runs, put back while it does not, and nothing else in their place.

The way there and back is walked by processes of their own. What is refused is told in this one: a start takes longer than
all that it would do.
"""

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from typer.testing import Result

from service.settings import reach
from service.store import migrate
from tests.cli.running import callsheet, environment, invoked, running


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(f"sqlite:///{tmp_path}/var/callsheet.db", HOST="127.0.0.1")


def here(env: dict[str, str], *arguments: str) -> Result:
    return invoked(arguments, env)


def refused(done: Result) -> str:
    assert isinstance(done.exception, SystemExit), "it ended itself: nothing fell through, which would be a traceback"
    assert (done.exit_code, done.stdout) == (1, ""), done
    assert "Traceback" not in done.stderr
    return done.stderr


def done(run: Result | subprocess.CompletedProcess[str]) -> dict[str, object]:
    code = run.exit_code if isinstance(run, Result) else run.returncode
    assert code == 0, run.stderr
    document: dict[str, object] = json.loads(run.stdout)
    return document


def prompts(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as sql:
        return {json.loads(order)["prompt"] for (order,) in sql.execute('SELECT "order" FROM task')}


def test_a_backup_of_a_running_service_is_one_moment_and_can_be_put_back(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "monday.db"
    with running(env, "serve", "--port", "0") as service:
        http = httpx.Client(base_url=service.url, trust_env=False, headers={"Authorization": f"Bearer {reach(env).key}"})
        with http:
            for prompt in ("first", "second"):
                order = {"model": "seedance-1-0-pro-250528", "prompt": prompt}
                assert http.post("/v1/tasks", json=order).status_code == 201
            made = done(callsheet(env, "backup", str(file), "--json"))
            assert made["bytes"] == file.stat().st_size
            assert http.post("/v1/tasks", json={**order, "prompt": "third"}).status_code == 201
            assert http.get("/readyz").status_code == 200
            assert "another process has" in refused(here(env, "restore", str(file), "--replace"))
        assert "is there already" in refused(here(env, "backup", str(file)))
        assert service.end() == 0
    assert prompts(file) == {"first", "second"}
    assert file.stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["monday.db", "var"], "nothing is left lying about"
    assert prompts(tmp_path / "var" / "callsheet.db") == {"first", "second", "third"}
    assert "--replace" in refused(here(env, "restore", str(file)))
    assert done(callsheet(env, "restore", str(file), "--replace", "--json")) == {"object": "restore", "held": 0}
    assert prompts(tmp_path / "var" / "callsheet.db") == {"first", "second"}
    with running(env, "serve", "--port", "0") as service:
        assert httpx.get(f"{service.url}/readyz", trust_env=False).status_code == 200
        assert service.end() == 0


def test_a_backup_that_was_damaged_is_not_put_in_place(env: dict[str, str], tmp_path: Path) -> None:
    path, file = tmp_path / "var" / "callsheet.db", tmp_path / "backup.db"
    migrate.to_head_sqlite(str(path))
    done(here(env, "backup", str(file), "--json"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert "no sound backup" in refused(here(env, "restore", str(file), "--replace"))
    file.write_bytes(b"something else altogether")
    assert "not an SQLite database" in refused(here(env, "restore", str(file), "--replace"))
    with closing(sqlite3.connect(file.with_name("other.db"))) as sql:
        sql.execute("CREATE TABLE unrelated (x)")
        sql.commit()
    assert "no sound backup" in refused(here(env, "restore", str(file.with_name("other.db")), "--replace"))
    assert migrate.at_sqlite(str(path)) == migrate.head(), "what was there is there"


def test_a_backup_of_a_newer_version_is_not_put_in_place(env: dict[str, str], tmp_path: Path) -> None:
    path, file = tmp_path / "var" / "callsheet.db", tmp_path / "backup.db"
    migrate.to_head_sqlite(str(path))
    done(here(env, "backup", str(file), "--json"))
    with closing(sqlite3.connect(file)) as sql:
        sql.execute("UPDATE alembic_version SET version_num = '9999'")
        sql.commit()
    assert "newer version" in refused(here(env, "restore", str(file), "--replace"))


def test_without_a_database_there_is_nothing_to_back_up(env: dict[str, str], tmp_path: Path) -> None:
    assert "is not there" in refused(here(env, "backup", str(tmp_path / "backup.db")))
    assert list(tmp_path.iterdir()) == []


def test_on_postgresql_its_own_tools_are_named(env: dict[str, str], tmp_path: Path) -> None:
    env |= {"CALLSHEET_DATABASE_URL": "postgresql://me@127.0.0.1:1/x"}
    assert "pg_dump" in refused(here(env, "backup", str(tmp_path / "backup.db")))
    assert "pg_restore" in refused(here(env, "restore", str(tmp_path / "backup.db")))
