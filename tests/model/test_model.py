"""Lives of a service that nobody thought of, on both engines.

More of them, each time others, and what fails made as short as it can be: CALLSHEET_MODEL_LIVES=2000.
"""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import ENGINES
from tests.model.machine import Machine
from tests.world import Engine

LIVES = int(os.environ.get("CALLSHEET_MODEL_LIVES", "0"))
LIVES_IN_A_RUN = {"sqlite": 10, "postgres": 8}
"""The same ones each time: about a second each, most of it commits that are durable."""
STEPS = 40


@pytest.mark.parametrize("kind", ENGINES)
def test_whatever_happens_the_service_agrees_with_the_model(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    def fresh() -> Engine:
        if kind == "postgres":
            emptied: Engine = request.getfixturevalue("fresh_postgres")()
            return emptied
        for left in tmp_path.iterdir():
            left.unlink()
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "callsheet.db")
        return Engine(f"sqlite:///{tmp_path / 'callsheet.db'}")

    class Here(Machine):
        pass

    Here.fresh = staticmethod(fresh)
    lives = settings(
        max_examples=LIVES or LIVES_IN_A_RUN[kind],
        stateful_step_count=STEPS,
        derandomize=not LIVES,
        deadline=None,
        database=None,
        print_blob=False,
        phases=Phase if LIVES else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Here, settings=lives)
