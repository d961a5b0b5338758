"""Names of rows: what is encoded comes back, what grows keeps growing, what is not a name is nobody's."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.ids import ALPHABET, EPOCH_MS, TASK, Ids, decode, encode, first_id_at

BIGGEST = 2**63 - 1
NOW = 1_795_000_000_000


@given(st.integers(0, BIGGEST))
def test_what_is_encoded_is_decoded(value: int) -> None:
    assert decode(TASK, encode(TASK, value)) == value


@given(st.integers(0, BIGGEST), st.integers(0, BIGGEST))
def test_names_sort_as_their_numbers_do(one: int, other: int) -> None:
    assert (encode(TASK, one) < encode(TASK, other)) == (one < other)


@given(st.text(max_size=20))
def test_no_other_text_is_a_name(text: str) -> None:
    value = decode(TASK, text)
    assert value is None or encode(TASK, value) == text


@pytest.mark.parametrize(
    "text",
    ["", "task", "task_", "task_0", "msg_0000000000001", "task_000000000000u", "task_zzzzzzzzzzzzz", "TASK_0000000000001",
     "task_000000000000١", "task_0000000000001 ", "task__000000000001"],
)  # fmt: skip
def test_a_name_of_another_kind_or_spelling_is_refused(text: str) -> None:
    assert decode(TASK, text) is None


def test_every_value_has_one_spelling() -> None:
    assert len(set(ALPHABET)) == 32
    assert set(ALPHABET).isdisjoint("ilou")


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=50), st.integers(0, 2**32))
def test_numbers_grow_whatever_the_clock_does(steps_ms: list[int], seed: int) -> None:
    now = NOW
    ids = Ids(lambda: now, random.Random(seed).random)
    drawn = []
    for step in steps_ms:
        now = max(EPOCH_MS, now + step)
        drawn.append(ids.new())
    assert drawn == sorted(set(drawn))
    assert drawn[-1] <= BIGGEST


def test_a_floor_carries_the_growth_over_a_restart_with_a_clock_that_went_back() -> None:
    before = Ids(lambda: NOW, random.Random(1).random).new()
    after = Ids(lambda: NOW - 3_600_000, random.Random(2).random)
    after.raise_floor(before)
    assert after.new() == before + 1


@given(st.integers(0, 2**32))
def test_the_first_name_of_an_instant_is_at_or_below_every_name_drawn_then(seed: int) -> None:
    drawn = Ids(lambda: NOW, random.Random(seed).random).new()
    assert first_id_at(NOW) <= drawn < first_id_at(NOW + 1)


@pytest.mark.parametrize("instant_ms", [-(10**15), 0, EPOCH_MS, 253_402_300_799_999])
def test_the_first_name_of_any_instant_is_one_that_a_database_can_compare_with(instant_ms: int) -> None:
    assert 0 <= first_id_at(instant_ms) <= BIGGEST
