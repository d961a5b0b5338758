"""Stories that once broke something, as short as they could be made. What each broke stands above it."""

from tests.sim.story import Fault, OrderPlan, Story


def _order(number: int, at: float, **more: object) -> OrderPlan:
    plan: dict[str, object] = {
        "app": "default",
        "provider": "ark",
        "ending": "succeeded",
        "queue_s": 10.0,
        "run_s": 20.0,
        "own_url": False,
        "flex": False,
    }
    return OrderPlan(number=number, at=at, **(plan | more))  # type: ignore[arg-type]


STORIES = {
    # The reconciler took the limit on lists, which this provider does not have, for leave to come again at once: it spun, and
    # in virtual time for ever.
    "many to be asked one by one": Story(
        seed=1,
        grain_s=5.0,
        orders=tuple(_order(n, 1.0, provider="agentsflare") for n in range(1, 7)),
        faults=(),
        keep_days=90,
        in_flight=None,
        subscribers=("all",),
    ),
    # A notice was in a courier's hand while the clock jumped and the janitor took its row: it is told all the same, and that is
    # no notice of something that never happened.
    "a notice older than what is kept": Story(
        seed=9,
        grain_s=30.0,
        orders=(_order(1, 100.0),),
        faults=(
            Fault("subscriber resets after taking it", 120.0, "endings", 5_000.0),
            Fault("clock on 80 h", 237.5, "", 1.0),
            Fault("stopped", 251.0, "", 15.9),
        ),
        keep_days=1,
        in_flight=None,
        subscribers=("endings",),
    ),
}
