"""One delivery from its first attempt to its end: what each answer of a subscriber leads to, and when."""

import httpx
import pytest

from service.egress import BlockedAddress, HungUp
from service.flow import claim, deliver, retell, settle
from service.store import deliveries, subscriptions
from service.store.database import Tx
from tests.flow.couriers import SLACK, answers, attempts, pass_time, queued, steady
from tests.world import World

pytestmark = pytest.mark.anyio

GARBAGE = httpx.RemoteProtocolError("not an HTTP answer")
STEPS_S = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)


async def states(world: World) -> list[str]:
    return [row.state for row in await world.deliveries()]


async def told(world: World, *said: httpx.Response | Exception, hours: float = 80) -> list[tuple[float, str, str | None]]:
    """The attempts at one notice for a subscriber that says this, then 204."""
    steady(world)
    await world.subscribe()
    world.on_notice["hook.test"] = list(said)
    await queued(world)
    await pass_time(world, hours)
    return await attempts(world)


async def test_success_is_one_attempt(world: World) -> None:
    assert await told(world) == [(0, "told", "204")]
    assert await states(world) == ["delivered"]


async def test_410_ends_the_delivery_and_the_subscription(world: World) -> None:
    assert await told(world, *answers(410)) == [(0, "gone", "410")]
    assert await states(world) == ["abandoned"]
    [sub] = await world.rows("SELECT status, reason FROM subscription")
    assert tuple(sub) == ("disabled", "answered 410: the subscriber wants no more")


async def test_429_with_retry_after_7_waits_seven_seconds(world: World) -> None:
    assert await told(world, *answers(429, retry_after="7")) == [(0, "throttled", "429"), (7, "told", "204")]


async def test_301_is_a_failure_and_never_followed(world: World) -> None:
    found = await told(world, *answers(301, location="https://elsewhere.test/"))
    assert found == [(0, "failed", "301"), (5, "told", "204")]
    assert {said.host for said in world.said} == {"hook.test"}


async def test_500_three_times_then_200_is_four_attempts_on_schedule(world: World) -> None:
    found = await told(world, *answers(500, 3), *answers(200))
    assert found == [(0, "failed", "500"), (5, "failed", "500"), (305, "failed", "500"), (2_105, "told", "200")]
    assert len({said.id for said in world.said}) == 1, "all under one name"
    assert len({said.body for said in world.said}) == 1, "with the same bytes"


async def test_a_closed_socket_is_tried_again_within_a_second(world: World) -> None:
    found = await told(world, HungUp("closed without an answer"))
    assert found == [(0, "unreached", None), (0.6, "told", "204")]


async def test_a_refused_connection_is_hurried_once_and_then_keeps_to_the_schedule(world: World) -> None:
    refused = httpx.ConnectError("refused")
    found = await told(world, refused, refused)
    assert [at for at, _, _ in found] == [0, 0.6, 5.6]


async def test_garbage_is_a_failure_on_schedule(world: World) -> None:
    assert await told(world, GARBAGE) == [(0, "unreached", None), (5, "told", "204")]


async def test_a_blocked_address_keeps_its_turns_and_says_so(world: World) -> None:
    found = await told(world, BlockedAddress("leads to a private or reserved network"))
    assert [(at, what) for at, what, _ in found] == [(0, "blocked"), (5, "told")]
    [first, _] = await world.rows("SELECT error FROM attempt ORDER BY number")
    assert first.error == "blocked_address: leads to a private or reserved network"


async def test_a_subscriber_that_never_works_is_tried_ten_times_in_three_days_then_given_up(world: World) -> None:
    found = await told(world, *answers(500, 30))
    expected = [float(sum(STEPS_S[: n + 1])) for n in range(len(STEPS_S))]
    # Before the breaker's threshold nothing is held back; the tenth failure ends the delivery.
    assert [at for at, _, _ in found] == expected
    assert await states(world) == ["abandoned"]
    [last] = await world.rows("SELECT error, answer FROM attempt WHERE number = 10")
    assert (last.error, bytes(last.answer)) == ("answered 500", b"so it is")


async def test_a_subscription_may_have_its_own_schedule(world: World) -> None:
    steady(world)
    await world.subscribe(schedule=[60, 600])
    world.on_notice["hook.test"] = list(answers(500, 9))
    await queued(world)
    await pass_time(world, 2)
    assert [at for at, _, _ in await attempts(world)] == [0, 60, 660]
    assert await states(world) == ["abandoned"]


async def test_one_resent_keeps_its_name_and_begins_its_schedule_anew(world: World) -> None:
    await told(world, *answers(500, 12))
    [given_up] = await world.deliveries()
    first_id = world.said[0].id
    answer = await world.api("POST", f"/v1/deliveries/{first_id}/resend")
    assert answer.json()["state"] == "pending"
    before = len(world.said)
    await pass_time(world, 1)
    again = world.said[before:]
    assert [said.id for said in again] == [first_id] * 3, "two more failures, on the schedule from its beginning, then success"
    assert {said.body for said in world.said} == {world.said[0].body}
    [now] = await world.deliveries()
    assert (now.state, now.attempts, now.spent) == ("delivered", 13, given_up.attempts)


async def test_a_pause_that_was_asked_for_holds_the_whole_lane_and_survives_a_restart(world: World) -> None:
    await world.subscribe()
    world.on_notice["hook.test"] = list(answers(429, retry_after="30"))
    await queued(world)
    await world.deliver()
    await queued(world, 3)
    await world.crash()
    for seconds in (0, 10, 19):
        world.silence(seconds=seconds)
        await world.deliver()
    assert len(world.said) == 1
    world.silence(seconds=1)
    await pass_time(world, 0.1)
    assert len(world.said) == 5


async def test_what_is_already_told_is_not_told_again_by_a_late_settlement(world: World) -> None:
    """Two couriers, one delivery: the first one's lease is over before it settles."""
    await world.subscribe()
    await queued(world)
    [slow] = [(due,) for due in world.parts.courier.take(10)]
    sent = await deliver.try_once(world.parts, world.addressees, slow)
    assert sent.settlement is not None
    world.silence(seconds=61)
    [parcel] = await claim.claim(world.parts, 10)
    assert parcel[0].fence > slow[0].fence
    await settle.settle(world.parts, [sent.settlement])
    [row] = await world.deliveries()
    assert (row.state, row.attempts - row.spent) == ("pending", 0), "whoever lost his lease settles nothing"
    again = await deliver.try_once(world.parts, world.addressees, parcel)
    assert again.settlement is not None
    await settle.settle(world.parts, [again.settlement])
    [row] = await world.deliveries()
    assert (row.state, row.attempts) == ("delivered", 2), "and what he sent was sent"
    assert len({said.id for said in world.said}) == 1


async def in_the_air_and_resent(world: World, *said: httpx.Response) -> tuple[settle.Settlement, settle.Settlement]:
    """One delivery was sent, and sent again on request before it was known what came of it: both attempts, in this order."""
    await world.subscribe()
    world.on_notice["hook.test"] = list(said)
    await queued(world)
    [slow] = [(due,) for due in world.parts.courier.take(10)]
    first = await deliver.try_once(world.parts, world.addressees, slow)
    [row] = await world.deliveries()
    await retell.resend(world.parts, "default", row.id)
    [parcel] = await claim.claim(world.parts, 10)
    second = await deliver.try_once(world.parts, world.addressees, parcel)
    assert first.settlement is not None
    assert second.settlement is not None
    return first.settlement, second.settlement


async def numbered(world: World) -> list[tuple[int, str]]:
    return [(row.number, row.outcome) for row in await world.rows("SELECT number, outcome FROM attempt ORDER BY number")]


async def test_a_late_settlement_settles_nothing_beside_the_one_that_holds_the_lease(world: World) -> None:
    """Both in one commit: the lease of the one says nothing for the other, and both were made."""
    late, held = await in_the_air_and_resent(world, *answers(200), *answers(500))
    await settle.settle(world.parts, [late, held])
    [row] = await world.deliveries()
    assert (row.state, row.attempts, row.spent) == ("pending", 2, 1)
    assert row.due_at - world.now in range(4_000, 6_001), "the first step of its schedule"
    assert await numbered(world) == [(1, "told"), (2, "failed")]


async def test_an_attempt_that_was_in_the_air_when_its_delivery_was_resent_is_recorded_before_the_new_one(world: World) -> None:
    late, held = await in_the_air_and_resent(world, *answers(500), *answers(200))
    await settle.settle(world.parts, [late])
    [row] = await world.deliveries()
    assert (row.state, row.attempts) == ("pending", 1)
    await settle.settle(world.parts, [held])
    [row] = await world.deliveries()
    assert (row.state, row.attempts) == ("delivered", 2)
    assert await numbered(world) == [(1, "failed"), (2, "told")]


async def test_an_attempt_that_ends_after_the_one_that_replaced_it_is_recorded_and_changes_nothing(world: World) -> None:
    late, held = await in_the_air_and_resent(world, *answers(500), *answers(200))
    await settle.settle(world.parts, [held])
    await settle.settle(world.parts, [late])
    [row] = await world.deliveries()
    assert (row.state, row.attempts, row.due_at) == ("delivered", 2, None)
    assert await numbered(world) == [(1, "told"), (2, "failed")]
    await settle.settle(world.parts, [held])
    assert len(await numbered(world)) == 2, "nothing is settled twice"


async def test_a_message_in_the_air_whose_notice_was_resent_frees_its_chat_address(world: World) -> None:
    await world.subscribe(SLACK, "slack", events=["task.queued"])
    await queued(world)
    [parcel] = await claim.claim(world.parts, 10)
    sent = await deliver.try_once(world.parts, world.addressees, parcel)
    assert sent.settlement is not None
    await retell.resend(world.parts, "default", parcel[0].id)
    await settle.settle(world.parts, [sent.settlement])
    await pass_time(world, 2 / 3_600)
    assert len(world.said) == 2, "a second later, and not when the lease of the first would have ended"


async def test_an_attempt_in_the_air_is_recorded_although_its_subscription_was_disabled_meanwhile(world: World) -> None:
    """It was skipped with everything else that was open; what became of the attempt is history all the same."""
    await world.subscribe()
    await queued(world, 2)
    arrived, refused = ((due,) for due in world.parts.courier.take(10))
    told = await deliver.try_once(world.parts, world.addressees, arrived)
    world.on_notice["hook.test"] = answers(500)
    failed = await deliver.try_once(world.parts, world.addressees, refused)
    assert told.settlement is not None
    assert failed.settlement is not None

    def disable(tx: Tx) -> None:
        subscription_id = arrived[0].subscription_id
        assert subscriptions.disable(tx, subscription_id, "somebody else saw a 410")
        deliveries.skip_open(tx, subscription_id, 100)

    await world.db.write(disable)
    await settle.settle(world.parts, [told.settlement, failed.settlement])
    rows = {row.id: row for row in await world.deliveries()}
    assert (rows[arrived[0].id].state, rows[arrived[0].id].attempts) == ("delivered", 1)
    assert (rows[refused[0].id].state, rows[refused[0].id].attempts, rows[refused[0].id].due_at) == ("skipped", 1, None)
    assert [outcome for _, outcome, _ in await attempts(world)] == ["told", "failed"]
    [lane] = await world.rows("SELECT due_at FROM lane")
    assert lane.due_at is not None, "there may be more to set aside"


async def test_a_410_of_the_address_it_had_before_disables_nobody(world: World) -> None:
    sub = await world.subscribe()
    world.on_notice["hook.test"] = answers(410)
    await queued(world)
    [parcel] = [(due,) for due in world.parts.courier.take(10)]
    refused = await deliver.try_once(world.parts, world.addressees, parcel)
    assert refused.settlement is not None
    changed = await world.api("PATCH", f"/v1/subscriptions/{sub.name}", {"target": "https://moved.test/"})
    assert changed.status_code == 200
    await settle.settle(world.parts, [refused.settlement])
    await world.deliver()
    assert [said.host for said in world.said] == ["hook.test", "moved.test"]
    assert await states(world) == ["delivered"]
    [row] = await world.rows("SELECT status, failing_since FROM subscription")
    assert tuple(row) == ("active", None)


async def test_a_fault_of_ours_is_an_attempt_on_schedule_and_says_no_secret(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert await told(world, UnicodeError("https://hook.test/?token=s3cr3t")) == [(0, "unreached", None), (5, "told", "204")]
    [first, _] = await world.rows("SELECT error FROM attempt ORDER BY number")
    assert first.error == "could not be sent: UnicodeError, a fault of this service"
    [record] = [r for r in caplog.records if r.message == "courier.attempt_failed"]
    assert "s3cr3t" not in str(record.__dict__)
