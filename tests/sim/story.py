"""What will happen in one world, drawn from a seed and written down before it begins: orders and faults, as data.

A story is all there is to replay: leave out a fault or an order, and the rest happens as before.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

PROVIDERS = ("ark", "byteplus", "agentsflare")
"""Calls back at every change; the same, and orders carry our mark; never calls back and has to be asked."""
SUBSCRIBERS = ("all", "endings", "other", "slack")

ORDER_FAULTS = (
    "callback dropped",
    "callback duplicated",
    "callback delayed",
    "callback reordered",
    "callback garbled",
    "callback of an unknown word",
    "callback of a second ending",
    "callback of another id",
    "submit times out after accept",
    "submit resets after accept",
    "submit 500 after accept",
    "submit 500",
    "submit 429",
    "submit 404",
    "submit 400",
    "submit 401",
    "submit refused",
    "job forgotten",
    "order cancelled",
    "order repeated",
)
PROVIDER_FAULTS = (
    "provider 500",
    "provider 429",
    "provider 404",
    "provider hangs",
    "provider refuses",
    "provider says rubbish",
)
SUBSCRIBER_FAULTS = (
    "subscriber hangs",
    "subscriber refuses",
    "subscriber 500",
    "subscriber 429",
    "subscriber resets after taking it",
    "subscriber gone",
)
PROCESS_FAULTS = (
    "killed",
    "stopped",
    "clock back 1 h",
    "clock on 1 h",
    "clock on 80 h",
    "commit fails",
    "commit's answer lost",
    "disk full",
)
API_FAULTS = ("subscription paused", "subscription recovered", "delivery resent")
FAULTS = ORDER_FAULTS + PROVIDER_FAULTS + SUBSCRIBER_FAULTS + PROCESS_FAULTS + API_FAULTS
LONG = 30 * 86_400.0
"""Seconds after which a subscriber that is gone comes back: never, for this story."""


@dataclass(frozen=True, slots=True)
class OrderPlan:
    number: int
    at: float
    app: str
    provider: str | None
    """Pinned to one; None: whoever is free."""
    ending: str
    queue_s: float
    run_s: float
    own_url: bool
    """It has a callback_url of its own."""
    flex: bool


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    at: float = 0.0
    """Seconds; of an order's fault the order's own time counts."""
    who: int | str = ""
    """The order's number, the provider, the subscriber."""
    size: float = 0.0
    """How long, or how much: what that means depends on the kind."""

    def told(self) -> str:
        when = f"t={self.at:.1f} s " if self.at else ""
        whom = f" (order {self.who})" if isinstance(self.who, int) else f" ({self.who})" if self.who else ""
        return f"{when}{self.kind}{whom}{f' ×{self.size:.1f}' if self.size else ''}"


@dataclass(frozen=True, slots=True)
class Story:
    seed: int
    grain_s: float
    """What happens is rounded to this: coarse, and much shares one commit."""
    orders: Sequence[OrderPlan]
    faults: Sequence[Fault]
    keep_days: int
    """Of events and tasks; short, and the janitor has something to do before the end."""
    in_flight: int | None
    """Cap of each account: orders wait for a place."""
    subscribers: Sequence[str]
    """Those of `SUBSCRIBERS` that there are."""

    @property
    def calm(self) -> bool:
        return not self.faults

    def told(self) -> str:
        parts = [f"seed {self.seed}: {len(self.orders)} orders"]
        parts += [fault.told() for fault in sorted(self.faults, key=lambda f: f.at)]
        return "; ".join(parts)

    def without(self, faults: Sequence[Fault] = (), orders: Sequence[OrderPlan] = ()) -> "Story":
        numbers = {order.number for order in orders}
        kept = tuple(f for f in self.faults if f not in faults and f.who not in numbers)
        return replace(self, orders=tuple(o for o in self.orders if o.number not in numbers), faults=kept)


def draw(seed: int, order_count: int | None = None) -> Story:
    """Every third world is small and fine: everything has its own instant. In the others crowds move together, so that many
    share a commit, and a lifetime costs a tenth."""
    dice = random.Random(f"story {seed}")
    fine = dice.random() < 0.33
    order_count = order_count or (24 if fine else 400)
    span_s = dice.choice((60.0, 600.0, 3_600.0) if fine else (60.0, 300.0))
    grain_s = dice.choice((0.001, 0.25, 1.0) if fine else (15.0, 30.0, 60.0))
    subscribers = tuple(dice.sample(SUBSCRIBERS, dice.choice((2, 3, 4) if fine else (1, 1, 2))))
    orders = tuple(_order(dice, number, span_s) for number in range(1, order_count + 1))
    calm = dice.random() < 0.1
    faults: list[Fault] = []
    if not calm:
        trouble = dice.choice((0.1, 0.3, 0.6) if fine else (0.03, 0.1, 0.25))
        for order in orders:
            if dice.random() < trouble:
                faults.append(
                    Fault(dice.choice(ORDER_FAULTS), 0.0, order.number, round(dice.choice((1, 30, 400)) * dice.random(), 1))
                )
        end_s = span_s + 600
        for _ in range(dice.choice((0, 1, 3) if fine else (1, 2, 5))):
            faults.append(Fault(dice.choice(PROVIDER_FAULTS), _at(dice, end_s), dice.choice(PROVIDERS), _long(dice)))
        for _ in range(dice.choice((0, 1, 3) if fine else (1, 2, 5))):
            size = LONG if dice.random() < 0.1 else _long(dice)
            faults.append(Fault(dice.choice(SUBSCRIBER_FAULTS), _at(dice, end_s), dice.choice(subscribers), size))
        for _ in range(dice.choice((0, 2, 6) if fine else (2, 5, 9))):
            faults.append(Fault(dice.choice(PROCESS_FAULTS), _at(dice, end_s), "", round(20 * dice.random(), 1)))
        for _ in range(dice.choice((0, 0, 1) if fine else (0, 1, 3))):
            faults.append(Fault(dice.choice(API_FAULTS), _at(dice, end_s), dice.choice(subscribers), _long(dice)))
    return Story(
        seed=seed,
        grain_s=grain_s,
        orders=orders,
        faults=tuple(faults),
        keep_days=dice.choice((1, 90, 90)),
        in_flight=dice.choice((None, None, None, order_count // 2, max(1, order_count // 4))),
        subscribers=subscribers,
    )


def _order(dice: random.Random, number: int, span_s: float) -> OrderPlan:
    return OrderPlan(
        number=number,
        at=_at(dice, span_s),
        app=dice.choice(("default", "default", "default", "other")),
        provider=dice.choice((None,) * 6 + ("ark",) * 3 + ("byteplus",) * 3 + ("agentsflare",)),
        ending=dice.choice(("succeeded",) * 7 + ("failed", "failed", "expired")),
        queue_s=round(dice.expovariate(1 / 20) + 0.5, 1),
        run_s=round(min(dice.expovariate(1 / 50), 150) + 1, 1),
        own_url=dice.random() < 0.05,
        flex=dice.random() < 0.05,
    )


def _at(dice: random.Random, end_s: float) -> float:
    return round(dice.random() * end_s + 1, 1)


def _long(dice: random.Random) -> float:
    return round(dice.choice((10, 300, 7_200)) * dice.random() + 1, 1)
