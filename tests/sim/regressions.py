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
    # Its answer was lost, and the first callback named a job that nobody knows: that name was followed until the order was
    # called lost, while its own callbacks were taken for contradictions (seeds 20261212, 20261976, 20263871, 20263960).
    "called otherwise before its provider could say so": Story(
        seed=28,
        grain_s=0.001,
        orders=(
            _order(6, 17.2, ending="failed", queue_s=6.9, run_s=151, own_url=True),
            _order(12, 157.7, ending="expired", queue_s=16.9, run_s=10.7),
        ),
        faults=(
            Fault("submit times out after accept", 0.0, 6, 1.0),
            Fault("submit 500 after accept", 0.0, 12, 1.0),
            Fault("callback of another id", 0.0, 12, 335.3),
        ),
        keep_days=1,
        in_flight=None,
        subscribers=("slack", "all"),
    ),
    # The same, and a provider that for a while knew nothing at all: what its callback had told was forgotten with it.
    "called otherwise by a provider that has mislaid everything": Story(
        seed=511,
        grain_s=0.001,
        orders=(_order(10, 17.0, app="other", provider=None, ending="failed", queue_s=69.2, run_s=54.8),),
        faults=(
            Fault("provider 404", 27.6, "ark", 1_411.9),
            Fault("submit resets after accept", 0.0, 10, 1.0),
            Fault("callback of another id", 0.0, 10, 83.7),
            Fault("clock on 80 h", 420.6, "", 11.3),
            Fault("clock on 1 h", 305.7, "", 11.3),
        ),
        keep_days=90,
        in_flight=None,
        subscribers=("all", "other", "endings", "slack"),
    ),
    # The list was not to be had for days by the clock; when it was, the equal order that had the job had been swept out.
    "a job whose owner is not kept any more": Story(
        seed=20262912,
        grain_s=0.001,
        orders=(
            _order(6, 58.8, provider=None, ending="failed", queue_s=19.6, run_s=22.4, own_url=True, flex=True),
            _order(16, 58.5, provider=None, ending="expired", queue_s=3.7, run_s=71.8, flex=True),
        ),
        faults=(
            Fault("submit 500", 0.0, 6, 108.9),
            Fault("clock on 80 h", 342.7, "", 16.1),
            Fault("killed", 380.2, "", 1.4),
        ),
        keep_days=1,
        in_flight=None,
        subscribers=("slack", "endings", "other"),
    ),
}
