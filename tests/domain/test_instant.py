"""Instants as text: to the millisecond, there and back."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain.instant import maybe, parse, rfc3339

YEAR_9999_MS = 253_402_300_799_999


@given(st.integers(0, YEAR_9999_MS))
@example(1_795_000_000_001)
@example(1_795_000_000_999)
def test_what_is_written_is_read_back_to_the_millisecond(at: int) -> None:
    assert parse(rfc3339(at)) == at


def test_it_looks_as_the_contract_says() -> None:
    assert rfc3339(int(datetime(2026, 11, 20, 22, 33, tzinfo=UTC).timestamp()) * 1000 + 123) == "2026-11-20T22:33:00.123Z"
    assert maybe(None) is None


@pytest.mark.parametrize(
    "text", ["2026-11-20T22:33:00Z", "2026-11-20T22:33:00+00:00", "2026-11-20T23:33:00+01:00", "2026-11-20T22:33:00.000Z"]
)
def test_one_instant_has_several_spellings(text: str) -> None:
    assert parse(text) == 1_795_213_980_000


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-11-20", "2026-11-20T22:33:00", "2026-13-01T00:00:00Z", "1795213980", "\x00"]
)
def test_what_has_no_zone_or_is_no_instant_is_none(text: str) -> None:
    assert parse(text) is None


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    assert parse(text) is None or isinstance(parse(text), int)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_the_ends_of_the_calendar_are_instants_too(text: str) -> None:
    assert isinstance(parse(text), int)
