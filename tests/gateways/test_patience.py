"""An operator's own word about one account, in its table of the TOML file: patience (`quiet_s`), trust (`confirm_endings`)."""

from pathlib import Path

import pytest

from service import settings
from service.app import accounts
from service.domain.errors import ConfigError


def load(home: Path, *lines: str) -> settings.Settings:
    toml = home / "callsheet.toml"
    toml.write_text("\n".join(["[[accounts]]", 'provider = "apiyi"', 'api_key = "k"', *lines]))
    env = {
        "CALLSHEET_CONFIG": str(toml),
        "CALLSHEET_ADMIN_KEY": "csa_the-operators-own-key",
        "CALLSHEET_SIGNING_KEYS": "a-signing-key-of-thirty-two-chars",
        "CALLSHEET_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }
    return settings.load(env, make_keys=False)


def test_an_account_may_name_how_long_its_silence_is_normal(tmp_path: Path) -> None:
    pace = accounts(load(tmp_path, "quiet_s = 7.5")).terms("apiyi", "default").pace
    assert (pace.queued_s, pace.running_s) == (7.5, 7.5)
    assert pace.cap_s == 300


def test_patience_longer_than_the_usual_end_of_widening_is_kept(tmp_path: Path) -> None:
    assert accounts(load(tmp_path, "quiet_s = 3600")).terms("apiyi", "default").pace.cap_s == 3600


def test_an_account_that_names_none_is_judged_by_what_its_gateway_calls_back(tmp_path: Path) -> None:
    [desk] = accounts(load(tmp_path)).desks.values()
    assert desk.pace is None


@pytest.mark.parametrize("value", ["0", "-1", "86401", "true", '"soon"', "nan", "inf"])
def test_a_senseless_patience_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"quiet_s = {value}")
    assert [fault.field for fault in caught.value.faults] == ["CALLSHEET_CONFIG accounts[0].quiet_s"]


def test_endings_are_confirmed_only_where_an_operator_says_so(tmp_path: Path) -> None:
    assert accounts(load(tmp_path, "confirm_endings = true")).terms("apiyi", "default").confirms
    for lines in ([], ["confirm_endings = false"]):
        assert not accounts(load(tmp_path, *lines)).terms("apiyi", "default").confirms


@pytest.mark.parametrize("value", ["1", '"yes"', "[]"])
def test_what_is_neither_true_nor_false_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"confirm_endings = {value}")
    assert [fault.field for fault in caught.value.faults] == ["CALLSHEET_CONFIG accounts[0].confirm_endings"]
