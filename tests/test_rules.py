"""The rules of the house, as far as a machine can hold them."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = sorted(p for p in (ROOT / "service").rglob("*.py"))
NAMES = {p: str(p.relative_to(ROOT)) for p in MODULES}
BANNED = {"utils", "helpers", "common", "manager", "managers", "misc", "util", "helper"}


def lint_imports(where: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    env = os.environ | {"PYTHONPATH": str(where), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=where, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_imports_run_downward_only() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


def test_a_domain_that_learns_of_http_is_caught(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "service", tmp_path / "service", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    lifecycle = tmp_path / "service" / "domain" / "lifecycle.py"
    lifecycle.write_text(lifecycle.read_text() + "\nimport httpx\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert "service.domain.lifecycle -> httpx" in done.stdout


def test_every_module_says_what_it_is_for() -> None:
    silent = [NAMES[p] for p in MODULES if p.name != "__main__.py" and not ast.get_docstring(ast.parse(p.read_text()))]
    assert [name for name in silent if not name.endswith("versions/__init__.py")] == []


def imports(path: Path) -> set[tuple[str, str]]:
    """(module, name) of everything that is imported anywhere in it."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.update((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update((alias.name, "") for alias in node.names)
    return found


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    assert BANNED.isdisjoint(p.stem for p in MODULES)


def test_nobody_uses_the_middleware_that_is_fifteen_times_slower() -> None:
    assert [NAMES[p] for p in MODULES if any(name == "BaseHTTPMiddleware" for _, name in imports(p))] == []


def test_settings_are_read_in_one_file_only_and_never_at_import() -> None:
    for path in MODULES:
        tree = ast.parse(path.read_text())
        reads = {
            n.attr
            for n in ast.walk(tree)
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "os"
        }
        if NAMES[path] != "service/settings/environment.py" and not NAMES[path].startswith("service/cli"):
            assert not reads & {"environ", "getenv"}, NAMES[path]
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr) and node.value is not None:
                called = {c.func.id for c in ast.walk(node.value) if isinstance(c, ast.Call) and isinstance(c.func, ast.Name)}
                assert not called & {"load", "Settings", "create_engine", "create_async_engine", "SQLite", "Postgres"}, NAMES[
                    path
                ]


def test_importing_the_service_touches_nothing(tmp_path: Path) -> None:
    """No settings are read, no engine is made, no file is written."""
    program = """
import os, pkgutil, importlib, service
before = dict(os.environ)
for module in pkgutil.walk_packages(service.__path__, "service."):
    if not module.name.endswith("__main__") and ".migrations" not in module.name:
        importlib.import_module(module.name)
assert dict(os.environ) == before
"""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPYCACHEPREFIX") if name in os.environ}  # compiled already
    env = {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PORT": "no number"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_server_loads_nothing_that_it_does_not_use() -> None:
    """Each costs every process megabytes at rest, and tens of milliseconds at every start."""
    heavy = {"alembic", "asyncpg", "mako", "pygments", "rich"}
    program = "import sys, service.cli.serving; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert heavy.isdisjoint(done.stdout.split())


def test_nothing_under_service_names_a_place_on_some_machine() -> None:
    for path in MODULES:
        for number, text in enumerate(path.read_text().splitlines(), 1):
            assert not any(place in text for place in ("/work/", "/tmp/", "/root/", "/home/")), f"{NAMES[path]}:{number}"
