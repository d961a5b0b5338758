"""Settings: read once, every mistake named at once by its variable, and no secret ever shown."""

import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.accounts import MARK_ORDERS
from service.app import accounts
from service.domain.errors import ConfigError
from service.providers.pixazo import OPTIONS
from service.settings import ACCOUNT_KEYS, PROVIDERS, VARIABLES, keys_path, load, reach, shown

FERNET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SECRETS = {
    "CALLSHEET_SIGNING_KEYS": "an-older-signing-key,a-newer-signing-key",
    "CALLSHEET_ENCRYPTION_KEYS": FERNET,
    "CALLSHEET_ADMIN_KEY": "csa_the-operators-own-key",
    "CALLSHEET_ARK_API_KEY": "sk-the-providers-key",
}
PRODUCTION = SECRETS | {
    "CALLSHEET_ENV": "production",
    "CALLSHEET_PUBLIC_URL": "https://callsheet.example.com",
    "CALLSHEET_DATABASE_URL": "postgresql://callsheet:a-password@db.example.com/callsheet",
}


def wrong(env: dict[str, str]) -> dict[str, str]:
    """What is wrong, by variable."""
    with pytest.raises(ConfigError) as caught:
        load(env, make_keys=False)
    assert all(f.field in str(caught.value) for f in caught.value.faults)
    return {f.field: f.message for f in caught.value.faults}


def test_with_nothing_set_the_service_runs_alone_with_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    s = load({})
    assert (s.host, s.port, s.public_url) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert (s.sqlite_path, s.production, s.sandboxed) == ("var/callsheet.db", False, True)
    assert load({}) == s, "what was made is kept"
    assert [d.account.provider for d in accounts(s).desks.values()] == ["sandbox"]


def test_a_whole_production_is_accepted() -> None:
    s = load(PRODUCTION)
    assert (s.production, s.sandboxed, s.sqlite_path) == (True, False, None)
    assert list(s.signing_keys) == ["an-older-signing-key", "a-newer-signing-key"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "²"),
        ("CALLSHEET_DATABASE_URL", "mysql://x"),
        ("CALLSHEET_DATABASE_URL", "sqlite:///"),
        ("CALLSHEET_DATABASE_URL", "sqlite:///file.db?mode=ro"),
        ("CALLSHEET_PUBLIC_URL", "callsheet.example.com"),
        ("CALLSHEET_PUBLIC_URL", "ftp://callsheet.example.com"),
        ("CALLSHEET_PUBLIC_URL", "https://"),
        ("CALLSHEET_PUBLIC_URL", "https://host:port"),
        ("CALLSHEET_PUBLIC_URL", "https://host/?a=b"),
        ("CALLSHEET_PUBLIC_URL", "https://somebody:a-password@host"),
        ("CALLSHEET_SIGNING_KEYS", "short"),
        ("CALLSHEET_SIGNING_KEYS", "long-enough-for-a-key,short"),
        ("CALLSHEET_ENCRYPTION_KEYS", "not-a-fernet-key"),
        ("CALLSHEET_ENCRYPTION_KEYS", f"{FERNET},ümlaut"),
        ("CALLSHEET_ADMIN_KEY", "short"),
        ("CALLSHEET_ENV", "prod"),
        ("CALLSHEET_ROUTE", "ark,nowhere"),
        ("CALLSHEET_ROUTE", "ark,apiyi"),
        ("CALLSHEET_EGRESS_ALLOW", "10.0.0.0/8,localhost"),
        ("CALLSHEET_CONFIG", "/there/is/no/such/file.toml"),
        ("CALLSHEET_ARK_BASE_URL", "ark.example.com"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    faults = wrong(SECRETS | {name: value})
    assert list(faults) == [name]


def test_every_wrong_variable_is_named_at_once() -> None:
    env = SECRETS | {
        "PORT": "x",
        "CALLSHEET_DATABASE_URL": "x",
        "CALLSHEET_ENV": "x",
        "CALLSHEET_EGRESS_ALLOW": "x",
        "CALLSHEET_ROUTE": "x",
    }
    assert set(wrong(env)) == {"PORT", "CALLSHEET_DATABASE_URL", "CALLSHEET_ENV", "CALLSHEET_EGRESS_ALLOW", "CALLSHEET_ROUTE"}


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(dict.fromkeys((v.name for v in VARIABLES if "<" not in v.name), "")) == load({})


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"CALLSHEET_PUBLIC_URL": "http://callsheet.example.com"}, "CALLSHEET_PUBLIC_URL"),
        ({"CALLSHEET_PUBLIC_URL": ""}, "CALLSHEET_PUBLIC_URL"),
        ({"CALLSHEET_SIGNING_KEYS": ""}, "CALLSHEET_SIGNING_KEYS"),
        ({"CALLSHEET_ENCRYPTION_KEYS": ""}, "CALLSHEET_ENCRYPTION_KEYS"),
        ({"CALLSHEET_ADMIN_KEY": ""}, "CALLSHEET_ADMIN_KEY"),
        ({"CALLSHEET_ARK_API_KEY": ""}, "CALLSHEET_<NAME>_API_KEY"),
    ],
)
def test_production_makes_nothing_up(
    change: dict[str, str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(wrong(PRODUCTION | change)) == [name]
    assert list(tmp_path.iterdir()) == []


# --- keys of a first run ---


def test_the_keys_of_a_first_run_are_their_owners_only_and_stay(tmp_path: Path) -> None:
    env = {"CALLSHEET_DATABASE_URL": f"sqlite:///{tmp_path}/var/callsheet.db"}
    first = load(env)
    path = keys_path(first.database_url)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["keys.json"]
    assert load(env) == first
    assert (reach(env).key, reach(env).kept) == (first.admin_key, True)


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    load({"CALLSHEET_DATABASE_URL": f"sqlite:///{tmp_path}/var/callsheet.db"}, make_keys=False)
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_elsewhere_makes_no_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load({"CALLSHEET_DATABASE_URL": f"sqlite:///{tmp_path}/var/callsheet.db", "PORT": "x"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '"text"', '{"admin_key": 5}', "\xff"])
def test_broken_kept_keys_are_named_and_never_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load({"CALLSHEET_DATABASE_URL": f"sqlite:///{tmp_path}/callsheet.db"})
    assert any(f.field == str(path) for f in caught.value.faults)
    assert path.read_bytes() == content.encode("latin-1")


# --- accounts ---


def config(tmp_path: Path, toml: str) -> dict[str, str]:
    path = tmp_path / "callsheet.toml"
    path.write_text(toml)
    return SECRETS | {"CALLSHEET_CONFIG": str(path)}


def test_a_second_account_of_one_gateway_comes_from_the_file(tmp_path: Path) -> None:
    env = config(
        tmp_path, '[[accounts]]\nprovider = "ark"\nname = "second"\napi_key_env = "SECOND_KEY"\ncallbacks = "endings"\n'
    )
    s = load(env | {"SECOND_KEY": "sk-second"})
    assert [(a.provider, a.name, a.api_key, a.callbacks) for a in s.accounts] == [
        ("ark", "default", "sk-the-providers-key", None),
        ("ark", "second", "sk-second", "endings"),
    ]
    assert list(accounts(s).desks) == [("ark", "default"), ("ark", "second")]


@pytest.mark.parametrize(
    "toml",
    [
        "accounts = 3",
        'accounts = "ark"',
        "[accounts]\nprovider = 'ark'",
        "[[accounts]]\nname = 'no provider'",
        "[[accounts]]\nprovider = 'nowhere'\napi_key = 'k'",
        "[[accounts]]\nprovider = 'ark'\nname = 'b'",
        "[[accounts]]\nprovider = 'ark'\nname = 'default'\napi_key = 'k'",
        "[[accounts]]\nprovider = 'ark'\nname = 'b'\napi_key = 'k'\ncallbacks = 'sometimes'",
        "[[accounts]]\nprovider = 'ark'\nname = 'b'\napi_key = 'k'\noptions = 3",
        "[[accounts]]\nprovider = 'ark'\nname = 'b'\napi_key = 'k'\ncolour = 'red'",
        "[[accounts]]\nprovider = 'yescale'\nname = 'b'\napi_key = 'k'",
        "accounts = [3]",
        "[unknown]\na = 1",
        "not toml",
        'a = "\\u0000',
    ],
)
def test_whatever_is_wrong_in_the_file_is_named(tmp_path: Path, toml: str) -> None:
    faults = wrong(config(tmp_path, toml))
    assert faults
    assert all(name.startswith("CALLSHEET_") for name in faults)


@pytest.mark.parametrize("name", ["'two words'", "'a/b'", "''", "'Studio'", "'-x'", "'é'", f"'{'a' * 65}'", "7", "['a']"])
def test_an_account_whose_name_would_not_fit_into_a_route_is_refused_by_its_field(tmp_path: Path, name: str) -> None:
    named = f"[[accounts]]\nprovider = 'ark'\napi_key = 'k'\nname = {name}"
    assert list(wrong(config(tmp_path, named))) == ["CALLSHEET_CONFIG accounts[0].name"]


@given(st.binary(max_size=80))
def test_no_file_breaks_anything_but_itself(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.toml"
    path.write_bytes(content)
    faults: list[str] = []
    try:
        load(SECRETS | {"CALLSHEET_CONFIG": str(path)}, make_keys=False)
    except ConfigError as error:
        faults = [f.field for f in error.faults]
    assert {name.split(" ")[0] for name in faults} <= {"CALLSHEET_CONFIG"}


def test_the_route_decides_who_is_tried_first() -> None:
    env = SECRETS | {"CALLSHEET_APIYI_API_KEY": "sk-another"}
    assert [p for p, _ in accounts(load(env)).desks] == ["ark", "apiyi"]
    assert [p for p, _ in accounts(load(env | {"CALLSHEET_ROUTE": " APIYI , ark "})).desks] == ["apiyi", "ark"]
    assert [p for p, _ in accounts(load(env | {"CALLSHEET_ROUTE": "apiyi"})).desks] == ["apiyi"]


def test_the_example_of_the_file_is_used_as_it_stands_and_leaves_no_key_out() -> None:
    path = Path(__file__).parents[1] / "infra" / "callsheet.example.toml"
    keys = {"ARK_SECOND_KEY": "sk-second", "PIXAZO_SECOND_KEY": "sk-pixazo"}
    s = load(SECRETS | keys | {"CALLSHEET_CONFIG": str(path)})
    desks = accounts(s).desks
    assert list(desks) == [("ark", "default"), ("ark", "second"), ("pixazo", "v2")]
    assert desks["ark", "second"].marks
    named = {key for account in s.config["accounts"] for key in account}
    assert named == (ACCOUNT_KEYS - {"api_key"}) | {"provider"}
    assert {key for account in s.config["accounts"] for key in account["options"]} == {MARK_ORDERS[0], *OPTIONS}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_is_switched_on_by_its_key(provider: str) -> None:
    env = {k: v for k, v in SECRETS.items() if k != "CALLSHEET_ARK_API_KEY"}
    env |= {
        f"CALLSHEET_{provider.upper()}_API_KEY": "sk-its-key",
        f"CALLSHEET_{provider.upper()}_BASE_URL": "https://gateway.test/",
    }
    [desk] = accounts(load(env)).desks.values()
    assert (desk.account.provider, desk.account.base_url) == (provider, "https://gateway.test")


# --- secrets ---


def secrets_of(env: dict[str, str]) -> list[str]:
    return [part for value in env.values() for part in value.split(",") if value in SECRETS.values()] + ["a-password"]


def test_no_secret_is_in_any_repr(tmp_path: Path) -> None:
    s = load(PRODUCTION)
    text = repr(s) + str(s) + repr(accounts(s)) + repr(list(accounts(s).desks.values())) + repr(reach(PRODUCTION))
    assert not [secret for secret in secrets_of(PRODUCTION) if secret in text]


def test_no_secret_is_shown_to_people() -> None:
    env = PRODUCTION | {
        "CALLSHEET_API_KEY": "csk_somebodys-key",
        "CALLSHEET_DATABASE_URL": "postgresql://u:a-password@db/c?password=a-password",
    }
    rows = shown(env, load(env))
    text = repr(rows)
    assert not [secret for secret in (*secrets_of(PRODUCTION), "csk_somebodys-key") if secret in text]
    assert {name for name, _, _ in rows} >= {v.name for v in VARIABLES if "<" not in v.name}


@pytest.mark.parametrize("name", [v.name for v in VARIABLES if v.secret and "<" not in v.name])
def test_no_mistake_repeats_a_secret(name: str) -> None:
    env: dict[str, Any] = PRODUCTION | {name: "tiny-secret"} | {"PORT": "x"}
    assert "tiny-secret" not in repr(wrong(env))


def test_no_mistake_repeats_the_password_of_the_database() -> None:
    assert "a-password" not in repr(wrong(PRODUCTION | {"CALLSHEET_DATABASE_URL": "mysql://u:a-password@db/c"}))


def test_settings_cannot_be_changed() -> None:
    s = load(PRODUCTION)
    with pytest.raises(AttributeError):
        setattr(s, "port", 1)  # noqa: B010 (written plainly, the type checker would forbid it first)
