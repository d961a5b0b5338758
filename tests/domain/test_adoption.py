"""Which entry of a provider's list is the order whose answer got lost: never a guess between two."""

from dataclasses import replace
from typing import Any

import pytest

from service.domain import ids
from service.domain.adoption import Sought, adopt
from service.domain.lifecycle import State
from service.domain.order import Order
from service.domain.report import Listed, Report

SENT = 1_795_000_000_000
MODEL = "seedance-1-0-pro-250528"


def sought(number: int = 1, marked: bool = False, wanted: bool = True, sent_at: int = SENT, **order: Any) -> Sought:
    return Sought(number, Order.of({"model": MODEL, "prompt": "a cat", **order}), sent_at, sent_at + 90_000, marked, wanted)


def listed(
    remote_id: str = "cgt-1", at: int = SENT + 1_000, model: str = MODEL, mark: str | None = None, **fields: Any
) -> Listed:
    return Listed(Report(State.QUEUED, "queued", remote_id), model, at, mark, tuple(fields.items()))


def adopted(these: list[Sought], entries: list[Listed], claimed: set[str] | None = None) -> dict[int, str | None]:
    return {number: report.remote_id for number, report in adopt(these, entries, claimed or set()).adopted.items()}


def test_one_order_and_one_unclaimed_job_belong_together() -> None:
    assert adopted([sought()], [listed()]) == {1: "cgt-1"}


def test_an_order_that_says_nothing_of_a_tier_is_no_flex_job() -> None:
    """Found by the simulation, seed 104: a look into the flex list gave a flex job to a lost order of the usual tier."""
    assert adopted([sought()], [listed(service_tier="flex")]) == {}
    assert adopted([sought(1), sought(2, service_tier="flex")], [listed(service_tier="flex")]) == {2: "cgt-1"}
    assert adopted([sought(1), sought(2, service_tier="flex")], [listed(service_tier="default")]) == {1: "cgt-1"}
    assert adopted([sought(2, service_tier="flex")], [listed()]) == {}


def test_a_job_that_is_somebody_elses_already_is_not_adopted() -> None:
    assert adopted([sought()], [listed()], {"cgt-1"}) == {}
    assert adopted([sought()], [listed(), listed("cgt-2")], {"cgt-1"}) == {1: "cgt-2"}


@pytest.mark.parametrize(
    ("these", "entries"),
    [
        ([sought(1), sought(2)], [listed()]),
        ([sought(1)], [listed("cgt-1"), listed("cgt-2")]),
        ([sought(1), sought(2)], [listed("cgt-1"), listed("cgt-2")]),
        ([sought(1), sought(2, wanted=False)], [listed()]),
    ],
    ids=["two orders, one job", "one order, two jobs", "two and two", "one of them still being sent"],
)
def test_what_fits_more_than_once_is_left_to_a_human(these: list[Sought], entries: list[Listed]) -> None:
    found = adopt(these, entries, set())
    assert found.adopted == {}
    assert found.doubtful[1]


@pytest.mark.parametrize(
    ("order", "entry"),
    [
        ({}, {"model": "another"}),
        ({}, {"at": SENT - 10_000}),
        ({}, {"at": SENT + 200_000}),
        ({"duration": 5}, {"duration": 10}),
        ({"resolution": "720p"}, {"resolution": "1080p"}),
        ({"seed": 7}, {"seed": 8}),
        ({}, {"mark": "somebody-else"}),
        ({"safety_identifier": "user-1"}, {"mark": "user-2"}),
    ],
)
def test_a_job_that_differs_is_another_one(order: dict[str, Any], entry: dict[str, Any]) -> None:
    assert adopted([sought(**order)], [listed(**entry)]) == {}


@pytest.mark.parametrize(
    ("order", "entry"),
    [
        ({"ratio": "adaptive"}, {"ratio": "7:5"}),
        ({"duration": -1}, {"duration": 6}),
        ({"seed": -1}, {"seed": 99}),
        ({}, {"seed": 5}),
    ],
)
def test_what_the_model_chose_itself_says_nothing(order: dict[str, Any], entry: dict[str, Any]) -> None:
    assert adopted([sought(**order)], [listed(**entry)]) == {1: "cgt-1"}


def test_a_mark_tells_equal_orders_apart_and_outweighs_every_guess() -> None:
    names = {n: ids.encode(ids.SUBMISSION, n) for n in (1, 2, 3)}
    these = [sought(1, marked=True), sought(2, marked=True), sought(3, marked=True)]
    entries = [listed("cgt-b", mark=names[2]), listed("cgt-a", mark=names[1]), listed("cgt-x")]
    assert adopted(these, entries) == {1: "cgt-a", 2: "cgt-b"}
    assert adopted([sought(1)], [listed("cgt-b", mark=names[2])]) == {}


def test_what_was_sent_while_the_clock_was_wrong_is_not_guessed_and_stands_in_everybodys_way() -> None:
    unsure = replace(sought(1, sent_at=SENT + 3_600_000), timed=False)
    assert adopted([unsure], [listed()]) == {}
    assert adopted([unsure, sought(2)], [listed()]) == {}
    assert adopted([unsure, sought(2, resolution="480p")], [listed(resolution="480p")]) == {}
    assert adopted([replace(unsure, order=sought(1, resolution="720p").order), sought(2)], [listed(resolution="480p")]) == {
        2: "cgt-1"
    }


def test_what_was_sent_long_ago_is_not_guessed_but_found_by_its_mark() -> None:
    old, marked = replace(sought(), recent=False), replace(sought(2, marked=True), recent=False)
    assert adopted([old], [listed()]) == {}
    assert adopted([old, sought(3)], [listed()]) == {}, "and it stands in the way of others"
    assert adopted([marked], [listed(mark=ids.encode(ids.SUBMISSION, 2))]) == {2: "cgt-1"}


def test_a_mark_needs_no_clock() -> None:
    unsure = replace(sought(7, marked=True, sent_at=SENT + 3_600_000), timed=False)
    assert adopted([unsure], [listed(mark=ids.encode(ids.SUBMISSION, 7))]) == {7: "cgt-1"}
