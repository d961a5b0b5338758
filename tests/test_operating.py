"""The operators' page and what lies beside it: names that exist, files that their own programs accept, tokens in no log."""

import getpass
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.cli import app
from service.settings import PROVIDERS, VARIABLES
from tests.process.harness import free_port, until

INFRA = Path(__file__).resolve().parents[1] / "infra"
PAGE = (INFRA / "OPERATING.md").read_text()
UNITS = sorted((INFRA / "systemd").glob("*.service"))
KNOWN = {v.name.replace("<NAME>", p.upper()) for v in VARIABLES for p in PROVIDERS}
VERBS = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback} | {g.name for g in app.registered_groups}
ELSEWHERE = {"infra/callsheet.env"}
"""Made by the operator."""


def settings_of(text: str) -> set[str]:
    return {name for name in re.findall(r"\bCALLSHEET_[A-Z_]+\b", text) if not name.endswith("_")}


@pytest.mark.parametrize("path", ["OPERATING.md", "compose.yaml", "Containerfile", "callsheet.env.example", "proxy/nginx.conf"])
def test_every_setting_that_is_named_is_one(path: str) -> None:
    assert settings_of((INFRA / path).read_text()) - KNOWN == set()


def test_every_verb_and_file_of_the_page_is_there() -> None:
    assert set(re.findall(r"`callsheet ([a-z]+)", PAGE)) - VERBS == set()
    links = {to.partition("#")[0] for to in re.findall(r"\]\(([^)]+)\)", PAGE)}
    assert {to for to in links if not (INFRA / to).exists()} == set()
    named = {path.rstrip("*.") for path in re.findall(r"(?<![\w/])infra/[\w./-]+", PAGE)} - ELSEWHERE
    assert {path for path in named if not (INFRA.parent / path).exists()} == set()


def test_the_example_of_the_environment_is_what_production_asks_for() -> None:
    given = dict(re.findall(r"^(\w+)=(.*)$", (INFRA / "callsheet.env.example").read_text(), re.MULTILINE))
    assert given["CALLSHEET_ENV"] == "production"
    for name in ("CALLSHEET_SIGNING_KEYS", "CALLSHEET_ENCRYPTION_KEYS", "CALLSHEET_ADMIN_KEY"):
        assert given[name] == "", "nobody runs with an example's keys"


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
    return document


def test_compose_runs_http_and_two_workers_after_the_release_step() -> None:
    services = compose()["services"]
    assert set(services) == {"database", "release", "web", "worker"}
    for name, verb in (("release", "migrate"), ("web", "serve"), ("worker", "work")):
        assert services[name]["command"][0] == verb
        assert verb in VERBS
        assert services[name]["read_only"] is True
    assert services["worker"]["deploy"]["replicas"] == 2
    for name in ("web", "worker"):
        assert services[name]["depends_on"] == {"release": {"condition": "service_completed_successfully"}}
    assert all(port.startswith("127.0.0.1:") for port in services["web"]["ports"]), "TLS ends before it"
    dockerfile = INFRA.parent / services["web"]["build"]["dockerfile"]
    assert (INFRA / services["web"]["build"]["context"]).resolve() == INFRA.parent
    copied = re.findall(r"^COPY (?!--from)(\S+)", dockerfile.read_text(), re.MULTILINE)
    assert copied
    assert [path for path in copied if not (INFRA.parent / path).exists()] == []


def test_units_run_verbs_and_wait_for_the_release_step() -> None:
    commands = {unit.name: re.findall(r"^ExecStart=\S+/callsheet (\w+)", unit.read_text(), re.MULTILINE) for unit in UNITS}
    assert commands == {
        "callsheet-release.service": ["migrate"],
        "callsheet-web.service": ["serve"],
        "callsheet-worker@.service": ["work"],
    }
    for unit in UNITS[1:]:
        assert "Requires=callsheet-release.service" in unit.read_text()
        assert "TimeoutStopSec=40" in unit.read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name.replace("@.", "@1.")).write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in found.stderr.splitlines() if "callsheet" in line and "Failed to" not in line]
    assert ours == [], found.stderr


def blocks(text: str) -> dict[str, str]:
    return dict(re.findall(r"location (?:= )?(\S+) \{(.*?)\}", text, re.DOTALL))


def test_the_proxy_writes_down_no_path_and_repeats_no_order() -> None:
    text = re.sub(r"#.*", "", (INFRA / "proxy" / "nginx.conf").read_text())
    [log_format] = re.findall(r"log_format callsheet '([^']*)'", text)
    assert {"$request", "$request_uri", "$uri", "$http_referer"} & set(log_format.split()) == set()
    assert re.findall(r"access_log (.*);", text) == ["/var/log/nginx/callsheet.log callsheet"]
    found = blocks(text)
    assert "error_log /dev/null" in found["/callbacks/"]
    assert "proxy_buffering off" in found["/v1/events"]
    assert "proxy_next_upstream off" in text
    assert "non_idempotent" not in found["/"]


TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx here")
def test_nginx_understands_its_file_and_writes_no_token_down_even_when_nobody_answers(tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    key = ["-keyout", tmp_path / "callsheet.key", "-out", tmp_path / "callsheet.crt"]
    subprocess.run([*command, *key], check=True, capture_output=True, timeout=60)
    port, plain, nobody = free_port(), free_port(), free_port()
    text = (INFRA / "proxy" / "nginx.conf").read_text()
    for place in ("/etc/nginx", "/var/log/nginx"):
        text = text.replace(place, str(tmp_path))
    for was, now in (("listen 443", port), ("listen 80", plain)):
        text = text.replace(f"{was}", f"listen 127.0.0.1:{now}")
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{nobody}").replace("worker_processes auto", "worker_processes 1")
    places = " ".join(f"{name}_temp_path {tmp_path}/{name};" for name in TEMPORARY)
    text = text.replace("http {", f"http {{ {places}", 1)
    (tmp_path / "nginx.conf").write_text(f"daemon off; pid {tmp_path}/pid; user {getpass.getuser()};\n{text}")
    nginx = ["nginx", "-p", tmp_path, "-e", tmp_path / "error.log", "-c", tmp_path / "nginx.conf"]
    checked = subprocess.run([*nginx, "-t"], capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr
    with subprocess.Popen(nginx, stderr=subprocess.DEVNULL) as running:
        try:
            url = f"https://127.0.0.1:{port}"
            until(lambda: httpx.get(f"{url}/healthz", verify=False, trust_env=False).status_code == 502, "nginx")
            path = "/callbacks/ark/a-token-nobody-may-see"
            assert httpx.post(f"{url}{path}", verify=False, trust_env=False, content=b"{}").status_code == 502
        finally:
            running.terminate()
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert " POST 502 " in logs
    assert "a-token" not in logs
