"""What /openapi.json says is what the service does, and nothing that it does not allow breaks it. The long form:
`python -m tests.hostile.contract --examples 500`."""

from pathlib import Path

import pytest

from service.web.openapi import document
from service.web.site import ENDPOINTS
from tests.hostile.contract import examine
from tests.world import Engine

pytestmark = pytest.mark.anyio

SEED = 20_261_121


async def test_every_operation_keeps_its_contract_whatever_is_asked_of_it(engine: Engine, tmp_path: Path) -> None:
    """The systematic part once, on the embedded engine: it is the same document on both."""
    phases = "coverage,fuzzing" if engine.url.startswith("sqlite") else "fuzzing"
    verdict = await examine(engine, tmp_path, 3, SEED, phases)
    assert verdict.code == 0, verdict.said[-8_000:]
    assert f"{len(ENDPOINTS)} selected / {len(ENDPOINTS)} total" in verdict.said, "nothing is left out"


def test_answers_that_are_no_failures_are_all_in_the_document() -> None:
    paths = document(ENDPOINTS, "https://callsheet.test")["paths"]
    assert {"200", "201", "408", "413"} <= set(paths["/v1/tasks"]["post"]["responses"])
    assert {"200", "304"} <= set(paths["/v1/tasks/{id}"]["get"]["responses"])
    assert set(paths["/v1/events"]["get"]["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert "408" not in paths["/v1/tasks"]["get"]["responses"], "where there is no body, none can be late"
