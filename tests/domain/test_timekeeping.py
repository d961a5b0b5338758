"""Whether our clock goes by a provider's: heard with each answer, and unset since."""

import pytest

from service.domain.timekeeping import Agreed, compare, right
from service.wire import date_ms

NOW = 1_795_000_000_500
HEARD = Agreed(NOW, 1_000)


@pytest.mark.parametrize(("date", "agrees"), [(-500, True), (-2_500, True), (1_500, True), (-3_600_000, False), (5_000, False)])
def test_two_clocks_agree_but_for_whole_seconds_and_the_way_of_the_answer(date: int, agrees: bool) -> None:
    assert (compare(NOW + date, NOW, 1_000) == HEARD) is agrees


def test_a_clock_that_was_set_since_is_wrong_until_it_is_set_back() -> None:
    assert right(HEARD, NOW + 86_400_000, 86_401_000)
    assert not right(HEARD, NOW + 3_600_000, 2_000)
    assert not right(HEARD, NOW - 3_600_000, 2_000)
    assert right(HEARD, NOW + 2_000, 2_500)


def test_whoever_was_never_heard_is_not_known_to_agree() -> None:
    assert not right(None, NOW, 1_000)


@pytest.mark.parametrize("raw", ["", "yesterday", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49:37 GMT"])
def test_a_senseless_date_says_nothing(raw: str) -> None:
    assert date_ms({"date": raw}) is None


def test_a_date_of_http_is_an_instant() -> None:
    assert date_ms({"date": "Sun, 06 Nov 1994 08:49:37 GMT"}) == 784_111_777_000
