"""Who goes first: caps, weighted fairness between apps, rank within one, and the order of accounts."""

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain.admission import PLENTY, Caps, Waiting, admit, choose, place, room, wait_s
from service.domain.sharing import Shares

A, B = ("ark", "default"), ("byteplus", "default")


def orders(
    app: str, count: int, first_id: int, rank: int = 9, tries: int = 0, route: tuple[tuple[str, str], ...] = (A,)
) -> list[Waiting]:
    return [Waiting(first_id + i, app, route, rank, tries) for i in range(count)]


@pytest.mark.parametrize(
    ("caps", "in_flight", "sent", "breaker", "free"),
    [
        (Caps(), 10**6, 10**6, None, PLENTY),
        (Caps(in_flight=10), 4, 0, None, 6),
        (Caps(in_flight=10), 15, 0, None, 0),
        (Caps(per_minute=5), 0, 3, None, 2),
        (Caps(in_flight=10, per_minute=5), 9, 0, None, 1),
        (Caps(in_flight=10), 0, 0, 0, 0),
        (Caps(in_flight=10), 0, 0, 1, 1),
    ],
)
def test_room_is_the_tightest_of_the_caps(caps: Caps, in_flight: int, sent: int, breaker: int | None, free: int) -> None:
    assert room(caps, in_flight, sent, breaker) == free


@pytest.mark.parametrize(
    ("tries", "rooms", "chosen"),
    [
        (0, {A: 1, B: 1}, A),
        (0, {A: 0, B: 1}, B),
        (1, {A: 1, B: 1}, B),
        (1, {A: 1, B: 0}, A),
        (2, {A: 1, B: 1}, A),
        (0, {}, None),
        (7, {A: 0, B: 0}, None),
    ],
)
def test_an_order_begins_one_account_further_with_every_try(
    tries: int, rooms: dict[tuple[str, str], int], chosen: tuple[str, str] | None
) -> None:
    assert choose((A, B), tries, rooms) == chosen


def test_a_flood_of_one_app_does_not_hold_up_another() -> None:
    flood, few = orders("flood", 1_000, 0), orders("few", 5, 5_000)
    started = admit([*flood, *few], {A: 20}, {}, {}, 100)
    assert Counter("few" if task >= 5_000 else "flood" for task, _ in started) == {"few": 5, "flood": 15}


def test_places_are_shared_by_weight_and_what_was_had_before_counts() -> None:
    waiting = [*orders("heavy", 100, 0), *orders("light", 100, 1_000)]
    shares: dict[tuple[str, str], Shares] = {}
    got = Counter[bool]()
    for _ in range(40):
        started = admit(waiting, {A: 1}, shares, {"heavy": 3, "light": 1}, 100)
        waiting = [w for w in waiting if w.task_id != started[0][0]]
        got[started[0][0] < 1_000] += 1
    assert got == {True: 30, False: 10}


def test_one_place_goes_round_whatever_the_apps_are_called_and_wherever_else_they_have_orders() -> None:
    shares = {A: Shares(), B: Shares(10**12, {"a": 10**12, "z": 10**13})}
    waiting = [*orders("a", 100, 1_000), *orders("m", 100, 500), *orders("z", 100, 0)]
    served = []
    for _ in range(9):
        [(task_id, _)] = admit(waiting, {A: 1}, shares, {}, 100)
        served.append(next(w.app_id for w in waiting if w.task_id == task_id))
        waiting = [w for w in waiting if w.task_id != task_id]
    assert served == ["z", "m", "a"] * 3, "the oldest first, and then in turn"


@given(
    st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 200), min_size=1),
    st.lists(st.integers(1, 7), min_size=1, max_size=60),
    st.integers(1, 400),
)
@example({**dict.fromkeys("abcdefghi", 1), "heavy": 100}, [1] * 60, 400)
def test_each_app_has_its_share_to_within_two_orders_at_every_moment(
    weights: dict[str, int], rooms: list[int], most: int
) -> None:
    """For any caps, weights and backlogs: nobody who has a backlog waits for ever."""
    every = [w for number, app in enumerate(weights) for w in orders(app, sum(rooms), number * 1_000)]
    waiting = {w.task_id: w for w in every}
    shares: dict[tuple[str, str], Shares] = {}
    got = Counter[str]()
    for room_now in rooms:
        for task_id, _ in admit(list(waiting.values()), {A: room_now}, shares, weights, most):
            got[waiting.pop(task_id).app_id] += 1
        total = sum(got.values())
        for app, weight in weights.items():
            assert abs(got[app] - total * weight / sum(weights.values())) <= 2


def test_whoever_was_away_has_saved_nothing_up() -> None:
    shares: dict[tuple[str, str], Shares] = {}
    admit([*orders("a", 1, 0), *orders("b", 1, 1)], {A: 2}, shares, {}, 10)
    admit(orders("a", 100, 1_000), {A: 100}, shares, {}, 100)
    both = [*orders("a", 20, 3_000), *orders("b", 20, 2_000)]
    assert Counter(task >= 3_000 for task, _ in admit(both, {A: 20}, shares, {}, 100))[False] <= 11


def test_priority_counts_within_an_app_and_not_between_apps() -> None:
    mine = [*orders("a", 3, 0, rank=9), *orders("a", 2, 100, rank=0)]
    assert [task for task, _ in admit(mine, {A: 3}, {}, {}, 10)] == [100, 101, 0]
    both = [*orders("a", 5, 0, rank=0), *orders("b", 5, 100, rank=9)]
    assert Counter(task >= 100 for task, _ in admit(both, {A: 4}, {}, {}, 10)) == {True: 2, False: 2}


def test_orders_that_fit_nowhere_do_not_hold_up_those_behind_them() -> None:
    waiting = [*orders("a", 50, 0, route=(A,)), *orders("a", 5, 100, route=(B,))]
    assert [task for task, _ in admit(waiting, {A: 0, B: 10}, {}, {}, 10)] == [100, 101, 102, 103, 104]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.sampled_from([(A,), (B,), (A, B)]), st.integers(0, 3)),
        max_size=60,
    ),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 30),
)
def test_no_cap_is_ever_exceeded_no_order_starts_twice_and_no_room_is_left_that_somebody_wanted(
    raw: list[tuple[str, int, tuple[tuple[str, str], ...], int]], room_a: int, room_b: int, most: int
) -> None:
    waiting = [Waiting(i, app, route, rank, tries) for i, (app, rank, route, tries) in enumerate(raw)]
    rooms = {A: room_a, B: room_b}
    started = admit(waiting, rooms, {}, {}, most)
    spent = Counter(key for _, key in started)
    assert spent[A] <= room_a
    assert spent[B] <= room_b
    assert len({task for task, _ in started}) == len(started) <= most
    if len(started) < most:
        left = [w for w in waiting if w.task_id not in {task for task, _ in started}]
        assert not any(rooms.get(key, 0) > 0 for w in left for key in w.route)


def test_a_place_counts_those_who_go_first_and_the_share_of_the_others() -> None:
    assert place(0, 1, []) == 1
    assert place(9, 1, [(1_000, 1)]) == 20
    assert place(9, 1, [(3, 1)]) == 13
    assert place(9, 2, [(1_000, 1)]) == 15


def test_the_estimate_follows_the_tighter_cap_and_is_silent_without_one() -> None:
    assert wait_s(60, [Caps(per_minute=60)], 100) == pytest.approx(60)
    assert wait_s(10, [Caps(in_flight=10)], 100) == pytest.approx(100)
    assert wait_s(10, [Caps(in_flight=10, per_minute=6_000)], 100) == pytest.approx(100)
    assert wait_s(10, [Caps()], 100) is None
