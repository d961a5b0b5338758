"""The verbs that stand alone: a start that cannot be says why, in words and with 1; nothing is touched by looking."""

import asyncio
import contextlib
import json
import logging
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from typer.testing import Result

from service.cli.check import Check
from service.cli.doctor import resolves
from service.store.migrate import head
from service.store.postgres import async_url
from tests.cli.running import Running, callsheet, environment, invoked, running


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(f"sqlite:///{tmp_path}/var/callsheet.db", PORT="1")


def here(env: dict[str, str], *arguments: str) -> Result:
    return invoked(arguments, env)


def checks(env: dict[str, str], code: int) -> dict[str, Check]:
    """What the doctor found, the worst of each name."""
    result = here(env, "doctor", "--json")
    assert result.exit_code == code, result.output
    order = {"wrong": 0, "note": 1, "fine": 2}
    found = [Check(**each) for each in json.loads(result.stdout)["checks"]]
    return {check.name: check for check in sorted(found, key=lambda c: -order[c.verdict])}


# --- starts that cannot be ---


def refused(done: Result | subprocess.CompletedProcess[str]) -> str:
    code = done.exit_code if isinstance(done, Result) else done.returncode
    assert (code, done.stdout) == (1, ""), done
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_verb_in_this_process_leaves_its_log_and_its_signals_as_they_were(env: dict[str, str], tmp_path: Path) -> None:
    before = logging.getLogger().handlers[:], signal.getsignal(signal.SIGTERM)
    Path(tmp_path / "var").write_text("in the way")
    refused(here(env, "serve", "--port", "0"))
    assert (logging.getLogger().handlers, signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("verb", ["serve", "migrate"])
@pytest.mark.parametrize("kind", ["a folder", "not a database", "under a file", "forbidden"])
def test_a_database_file_that_cannot_be_used_is_named_with_what_to_do(
    env: dict[str, str], tmp_path: Path, verb: str, kind: str
) -> None:
    path = tmp_path / "callsheet.db"
    match kind:
        case "a folder":
            path.mkdir()
        case "not a database":
            path.write_text("Dear diary, today I was opened by a database.\n")
        case "under a file":
            path.write_text("")
            path = path / "callsheet.db"
        case "forbidden":
            path = Path("/proc/nobody/callsheet.db")
    said = refused(here(env | {"CALLSHEET_DATABASE_URL": f"sqlite:///{path}"}, verb))
    assert "  CALLSHEET_DATABASE_URL: " in said
    assert str(path) in said or str(path.parent) in said
    assert "name a" in said
    if kind == "not a database":
        assert path.read_text().startswith("Dear diary"), "it is somebody else's"


def test_every_wrong_variable_is_named_at_once(env: dict[str, str], tmp_path: Path) -> None:
    wrong = {"PORT": "many", "CALLSHEET_ENV": "prod", "CALLSHEET_ENCRYPTION_KEYS": "short", "CALLSHEET_PUBLIC_URL": "http://["}
    wrong["CALLSHEET_DATABASE_URL"] = "postgresql://me:p]@host:port/x"
    for verb in ("serve", "work", "migrate", "settings"):
        said = refused(here(env | wrong, verb))
        assert [name for name in wrong if f"  {name}: " not in said] == []
        assert "SIGNING" not in said  # a first run makes those
    assert list(tmp_path.iterdir()) == []


def test_a_busy_port_is_named(env: dict[str, str], service: Running) -> None:
    port = service.url.rpartition(":")[2]
    said = refused(here(env, "serve", "--port", port))
    assert f"port {port}" in said
    assert len(said.splitlines()) == 1


def test_a_database_that_another_process_holds_is_told_once_also_inside_the_server(service: Running) -> None:
    done = callsheet(service.env, "serve", "--port", "0", "--json")
    assert (done.returncode, done.stderr.count("another process has")) == (1, 1)
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["errors"][0]["field"] == "CALLSHEET_DATABASE_URL"


def test_a_database_that_is_none_is_told(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "callsheet.db").write_text("not a database, and longer than its header would be" * 20)
    assert "not an SQLite database" in refused(here(env, "migrate"))
    assert "not a database" in checks(env, code=1)["database"].found


def test_sqlite_has_its_loops_where_it_is_served(env: dict[str, str]) -> None:
    assert "callsheet serve" in refused(here(env, "work"))
    assert "PostgreSQL" in refused(here(env, "serve", "--no-loops"))


# --- looking and migrating ---


def test_settings_are_shown_without_their_secrets_and_without_leaving_anything(env: dict[str, str], tmp_path: Path) -> None:
    secret = {"CALLSHEET_ADMIN_KEY": "an-admin-key-of-length", "CALLSHEET_ARK_API_KEY": "k-not-a-real-one"}
    shown = here(env | secret, "settings")
    assert shown.exit_code == 0
    assert "CALLSHEET_ARK_API_KEY" in shown.stdout
    assert [value for value in secret.values() if value in shown.output] == []
    rows = {row["name"]: row["value"] for row in json.loads(here(env | secret, "settings", "--json").stdout)["data"]}
    assert (rows["PORT"], rows["CALLSHEET_ADMIN_KEY"], rows["CALLSHEET_API_KEY"]) == ("1", "(set)", "(the operator's)")
    assert list(tmp_path.iterdir()) == []


def test_a_password_in_the_database_url_is_not_shown(env: dict[str, str]) -> None:
    shown = here(env | {"CALLSHEET_DATABASE_URL": "postgresql://me:s3cret@db/x?password=s3cret"}, "settings")
    assert "postgresql://me:…@db/x" in shown.stdout
    assert "s3cret" not in shown.output


def test_an_embedded_database_is_migrated_and_then_at_the_head(env: dict[str, str]) -> None:
    behind = here(env, "migrate", "--check", "--json")
    assert (behind.exit_code, json.loads(behind.stdout)["from"]) == (1, None)
    assert f"nothing → {head()}: migrated" in here(env, "migrate").stdout
    assert here(env, "migrate", "--check").exit_code == 0
    assert json.loads(here(env, "migrate", "--json").stdout)["verdict"] == "at the head"


def test_a_database_in_use_is_not_migrated(service: Running) -> None:
    result = here(service.env, "migrate")
    assert result.exit_code == 1
    assert "another process has" in result.stderr


# --- doctor ---


def test_the_doctor_finds_a_fresh_machine_in_order_and_leaves_it_so(env: dict[str, str], tmp_path: Path) -> None:
    found = checks(env, code=0)
    assert found["database"].verdict == found["keys"].verdict == found["service"].verdict == "note"
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_proves_that_the_public_url_reaches_this_very_process(service: Running) -> None:
    env = service.env | {"PORT": service.url.rpartition(":")[2]}
    shown = here(env, "doctor", "--public-url", "--json")
    [check] = [c for c in json.loads(shown.stdout)["checks"] if c["name"] == "self-call"]
    assert check["verdict"] == "fine", check
    others = env | {"CALLSHEET_SIGNING_KEYS": "somebody-elses-signing-key-0123456789"}
    shown = here(others, "doctor", "--public-url", "--json")
    [check] = [c for c in json.loads(shown.stdout)["checks"] if c["name"] == "self-call"]
    assert check["verdict"] == "wrong"
    assert shown.exit_code == 1


def self_call(env: dict[str, str], own: Running, public: Running) -> tuple[int, dict[str, str]]:
    """What the doctor of `own` says of a public URL that leads to `public`."""
    led = env | {"PORT": own.url.rpartition(":")[2], "CALLSHEET_PUBLIC_URL": public.url}
    shown = here(led, "doctor", "--public-url", "--json")
    [check] = [c for c in json.loads(shown.stdout)["checks"] if c["name"] == "self-call"]
    return shown.exit_code, check


def all_keys() -> dict[str, str]:
    keys = {"CALLSHEET_ADMIN_KEY": "an-admin-key-of-length", "CALLSHEET_SIGNING_KEYS": "a-signing-key-of-some-length"}
    return keys | {"CALLSHEET_ENCRYPTION_KEYS": json.loads(here({}, "keys", "fernet", "--json").stdout)["key"]}


def test_the_doctor_sees_that_the_public_url_reaches_the_same_keys_on_another_database(sandbox: str, tmp_path: Path) -> None:
    ark = {"CALLSHEET_ARK_API_KEY": "k-not-a-real-one", "CALLSHEET_ARK_BASE_URL": f"{sandbox}/ark/api/v3"}
    keys = all_keys()
    here_env, there_env = (environment(f"sqlite:///{tmp_path}/{name}/callsheet.db", **ark, **keys) for name in ("a", "b"))
    with running(here_env, "serve", "--port", "0") as own, running(there_env, "serve", "--port", "0") as other:
        code, check = self_call(own.env, own, other)
        assert (code, check["verdict"]) == (1, "wrong"), check
        assert "another database" in check["found"]
        assert check["advice"]
        assert self_call(own.env, own, own)[1]["verdict"] == "fine"


def test_the_doctor_asks_a_running_service_and_not_its_file(service: Running) -> None:
    found = checks(service.env, code=0)
    assert "held by a running process" in found["database"].found
    assert (found["service"].verdict, found["keys"].verdict, found["disk"].verdict) == ("fine", "fine", "fine")


def test_the_doctor_names_what_no_key_opens(sandbox: str, tmp_path: Path) -> None:
    ark = {"CALLSHEET_ARK_API_KEY": "k-not-a-real-one", "CALLSHEET_ARK_BASE_URL": f"{sandbox}/ark/api/v3"}
    with running(environment(f"sqlite:///{tmp_path}/callsheet.db", **ark), "serve", "--port", "0") as service:
        made = json.loads(here(service.env, "subscribe", "https://hook.test/", "--json").stdout)
        assert checks(service.env, code=0)["encryption"].verdict == "fine"
        other = json.loads(here(service.env, "keys", "fernet", "--json").stdout)["key"]
        found = checks(service.env | {"CALLSHEET_ENCRYPTION_KEYS": other}, code=1)["encryption"]
        assert found.verdict == "wrong"
        assert made["id"] in found.found
        assert "app default" in found.found
        assert "put back the key" in found.advice
        assert other not in found.found + found.advice


def test_the_doctor_sees_that_the_service_was_started_with_other_settings(service: Running) -> None:
    found = checks(service.env | {"CALLSHEET_ARK_API_KEY": ""}, code=1)
    assert "restart" in found["providers"].advice


def test_the_audit_reads_beside_the_running_service_and_names_what_is_broken(sandbox: str, tmp_path: Path) -> None:
    ark = {"CALLSHEET_ARK_API_KEY": "k-not-a-real-one", "CALLSHEET_ARK_BASE_URL": f"{sandbox}/ark/api/v3"}
    with running(environment(f"sqlite:///{tmp_path}/callsheet.db", **ark), "serve", "--port", "0") as service:
        done = here(service.env, "submit", "a cat", "--model", "seedance-1-0-pro-250528", "--wait")
        assert done.exit_code == 0, done.stderr
        shown = here(service.env, "doctor", "--audit", "--json")
        assert (shown.exit_code, json.loads(shown.stdout)["breaches"]) == (0, []), shown.output
        assert json.loads(shown.stdout)["seen"]["tasks"] == 1
        assert "1 tasks" in here(service.env, "doctor", "--audit").stdout
        service.end()
    with contextlib.closing(sqlite3.connect(tmp_path / "callsheet.db")) as file, file:
        file.execute("UPDATE task SET state = 'failed'")
    broken = here(service.env, "doctor", "--audit")
    assert broken.exit_code == 1
    assert "BREACH  I2  task_" in broken.stdout
    assert "its last transition made it succeeded" in broken.stdout


def test_an_audit_of_nothing_says_so(env: dict[str, str], tmp_path: Path) -> None:
    assert "There is no database yet" in refused(here(env, "doctor", "--audit"))
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_names_what_is_wrong_and_what_to_do(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "keys.json").write_text(json.dumps({"admin_key": "a" * 20, "signing_keys": "b" * 20}))
    (tmp_path / "var" / "keys.json").chmod(0o644)
    (tmp_path / "var" / "callsheet.db").touch()
    fernet = json.loads(here(env, "keys", "fernet", "--json").stdout)["key"]
    provider = {"CALLSHEET_BYTEPLUS_API_KEY": "k-not-a-real-one", "CALLSHEET_BYTEPLUS_BASE_URL": "http://nowhere.invalid"}
    found = checks(env | provider | {"CALLSHEET_ENCRYPTION_KEYS": fernet}, code=1)
    wrong = {name for name, check in found.items() if check.verdict == "wrong"}
    assert wrong == {"database", "keys", "public url", "byteplus"}
    assert all(check.advice for check in found.values() if check.verdict == "wrong")
    shown = here(env | {"CALLSHEET_ENV": "production"}, "doctor")
    assert (shown.exit_code, shown.stdout.count("WRONG")) == (1, 5)


def test_a_name_without_an_address_does_not_resolve() -> None:
    assert (resolves("127.0.0.1"), resolves("nowhere.invalid"), resolves("")) == (True, False, False)


# --- PostgreSQL: any number of both ---


@pytest.fixture
def fresh(postgres_url: str) -> Iterator[str]:
    """A database that nobody migrated yet."""

    async def run(statement: str) -> None:
        admin = create_async_engine(async_url(postgres_url), isolation_level="AUTOCOMMIT")
        async with admin.connect() as sql:
            await sql.execute(text(statement))
        await admin.dispose()

    asyncio.run(run("CREATE DATABASE fresh"))
    yield postgres_url.rpartition("/")[0] + "/fresh"
    asyncio.run(run("DROP DATABASE fresh WITH (FORCE)"))


def test_web_and_workers_share_a_migrated_postgres(fresh: str, sandbox: str, tmp_path: Path) -> None:
    ark = {"CALLSHEET_ARK_API_KEY": "k-not-a-real-one", "CALLSHEET_ARK_BASE_URL": f"{sandbox}/ark/api/v3"}
    keys = {"CALLSHEET_ADMIN_KEY": "an-admin-key-of-length", "CALLSHEET_SIGNING_KEYS": "a-signing-key-of-some-length"}
    keys["CALLSHEET_ENCRYPTION_KEYS"] = json.loads(here({}, "keys", "fernet", "--json").stdout)["key"]
    env = environment(fresh, **ark, **keys)
    assert here(env, "migrate", "--check").exit_code == 1
    assert "run: callsheet migrate" in refused(callsheet(env, "work"))
    assert "run: callsheet migrate" in checks(env | {"PORT": "1"}, code=1)["database"].advice
    assert json.loads(here(env, "migrate", "--json").stdout)["to"] == head()
    assert here(env, "migrate", "--check").exit_code == 0
    with running(env, "serve", "--no-loops", "--port", "0") as web, running(web.env, "work") as worker:
        found = checks(web.env, code=0)
        assert (found["clock"].verdict, found["database"].verdict) == ("fine", "fine")
        with running(env, "serve", "--no-loops", "--port", "0") as second:
            _, check = self_call(web.env, web, second)
            assert (check["verdict"], "another process" in check["found"]) == ("fine", True), check
        ordered = here(web.env, "submit", "a cat", "--model", "seedance-1-0-pro-250528", "--wait", "--json")
        assert json.loads(ordered.stdout)["state"] == "succeeded", ordered.stderr
        audited = here(web.env, "doctor", "--audit", "--json")
        assert (audited.exit_code, json.loads(audited.stdout)["seen"]["tasks"]) == (0, 1), audited.output
        listening = {"Authorization": f"Bearer {keys['CALLSHEET_ADMIN_KEY']}", "Accept": "text/event-stream"}
        with httpx.stream("GET", f"{web.url}/v1/events", headers=listening, trust_env=False) as feed:
            assert next(feed.iter_lines()).startswith("retry")
            began = time.monotonic()
            web.process.send_signal(signal.SIGINT)  # Ctrl-C is as good an end
            assert (worker.end(), web.process.wait(20)) == (0, 0)
            assert time.monotonic() - began < 8  # and waits for nobody who listens for ever


def test_a_postgres_that_is_away_is_told_in_words(env: dict[str, str]) -> None:
    away = env | {"CALLSHEET_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    kept = {"CALLSHEET_ADMIN_KEY": "an-admin-key-of-length", "CALLSHEET_SIGNING_KEYS": "a-signing-key-of-some-length"}
    kept["CALLSHEET_ENCRYPTION_KEYS"] = json.loads(here({}, "keys", "fernet", "--json").stdout)["key"]
    assert "cannot be reached" in refused(here(away | kept, "migrate"))
    assert checks(away | kept, code=1)["database"].verdict == "wrong"
