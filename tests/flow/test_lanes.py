"""Lanes in memory: caps, turns, trouble."""

from collections import Counter

from service.domain.due import Due, Parcel
from service.flow.lanes import CONCURRENCY, WAITING_IN_TROUBLE, Lanes


def a_parcel(subscription_id: int, number: int = 1) -> Parcel:
    return (
        Due(
            id=number, app_id="default", subscription_id=subscription_id, version=1, type="task.queued", at=0, attempts=0, spent=0,
            fence=1, hurried=False, lease_until=60_000, body=b"{}",
        ),
    )  # fmt: skip


def started(lanes: Lanes, most: int = 1_000) -> Counter[int]:
    """Whatever may start now, by subscription."""
    found: Counter[int] = Counter()
    while sum(found.values()) < most and (parcel := lanes.next()) is not None:
        found[parcel[0].subscription_id] += 1
    return found


def test_a_lane_proves_itself_before_it_may_send_several_at_once() -> None:
    lanes = Lanes()
    for number in range(20):
        assert lanes.put(a_parcel(1, number))
    assert started(lanes) == {1: 1}
    lanes.done(1, worked=True)
    assert started(lanes) == {1: CONCURRENCY}
    lanes.done(1, worked=True, cap=9)
    assert started(lanes) == {1: 9 - (CONCURRENCY - 1)}


def test_lanes_take_turns_whatever_waits_in_them() -> None:
    lanes = Lanes()
    for number in range(50):
        lanes.put(a_parcel(1, number))
    for subscription_id in (2, 3):
        lanes.put(a_parcel(subscription_id))
    assert started(lanes) == {1: 1, 2: 1, 3: 1}


def test_a_full_lane_takes_no_more_and_does_not_count_against_the_others() -> None:
    lanes = Lanes(waiting_limit=5)
    taken = [lanes.put(a_parcel(1, number)) for number in range(8)]
    assert taken == [True] * 5 + [False] * 3
    assert lanes.full() == [1]
    assert lanes.room(10) == 10
    assert lanes.put(a_parcel(2))
    assert lanes.room(10) == 9


def test_a_lane_that_falls_to_half_of_what_it_held_says_so_once_and_is_claimed_for_again() -> None:
    lanes = Lanes(waiting_limit=8)
    for number in range(8):
        lanes.put(a_parcel(1, number))
    lanes.put(a_parcel(2))
    assert lanes.stocked() == [1]
    lanes.next(), lanes.next()  # one of each
    for _ in range(3):
        lanes.low = False
        lanes.done(1, worked=True, cap=1)
        lanes.next()
    assert lanes.low
    assert lanes.stocked() == []
    lanes.low = False
    lanes.done(1, worked=True, cap=1)
    lanes.next()
    assert not lanes.low, "it was told, and nothing came since"


def test_lanes_in_trouble_share_half_of_the_workers() -> None:
    workers = 8
    lanes = Lanes(workers)
    troubled, good = range(1, 21), range(101, 121)
    for subscription_id in troubled:
        lanes.put(a_parcel(subscription_id))
    assert sum(started(lanes).values()) == len(troubled)
    for subscription_id in troubled:
        lanes.done(subscription_id, worked=False)
        for number in range(WAITING_IN_TROUBLE):
            lanes.put(a_parcel(subscription_id, number))
    for subscription_id in good:
        lanes.put(a_parcel(subscription_id))
    under_way = started(lanes, most=3 * workers)
    assert sum(under_way[i] for i in troubled) == workers // 2
    assert sum(under_way[i] for i in good) == len(good)
    assert max(under_way.values()) == 1


def test_a_lane_that_works_again_leaves_trouble_with_its_first_success() -> None:
    lanes = Lanes(workers=2)
    lanes.put(a_parcel(1))
    assert started(lanes) == {1: 1}
    lanes.done(1, worked=False)
    for number in range(WAITING_IN_TROUBLE):
        assert lanes.put(a_parcel(1, number))
    assert started(lanes) == {1: 1}
    lanes.done(1, worked=True)
    for number in range(6):
        assert lanes.put(a_parcel(1, number))
    assert started(lanes) == {1: CONCURRENCY}


def test_what_waits_can_be_taken_back_for_one_or_for_all() -> None:
    lanes = Lanes()
    for number in range(3):
        lanes.put(a_parcel(1, number))
        lanes.put(a_parcel(2, number))
    assert started(lanes) == {1: 1, 2: 1}
    assert len(lanes.empty(1)) == 2
    assert lanes.empty(7) == []
    assert len(lanes.drain()) == 2
    assert (lanes.waiting, lanes.in_flight) == (0, 2)
    for subscription_id in (1, 2):
        lanes.done(subscription_id, worked=None)
    assert lanes.next() is None
    assert lanes.full() == []
