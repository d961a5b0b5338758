"""The table that `python -m tests.gateways.table` prints, cell by cell."""

import asyncio

import pytest

from tests.gateways.checks import Check
from tests.gateways.ground import Ground
from tests.gateways.subjects import SANDBOX, SUBJECTS, Subject
from tests.gateways.table import BROKEN, fill, marks, reasons

pytestmark = pytest.mark.anyio

EXPECTED = """
gateway      submit  callback  query  batch query  error  cancel
ark          ✓       ✓         ✓      ✓            ✓      ✓
byteplus     ✓       ✓         ✓      ✓            ✓      ✓
agentsflare  ✓       –         ✓      –            ✓      –
acedata      ✓       ✓         ✓      ✓            ✓      –
yescale      ✓       –         ✓      –            ✓      –
pixazo       ✓       ✓         ✓      –            ✓      –
pixazo (v2)  ✓       –         ✓      –            ✓      –
apiyi        ✓       –         ✓      –            ✓      –
sandbox      ✓       ✓         ✓      ✓            ✓      ✓
"""


async def test_every_gateway_does_what_its_documents_promise(ground: Ground, sandboxed: Ground) -> None:
    filled, alone = await asyncio.gather(fill(ground, SUBJECTS), fill(sandboxed, [SANDBOX]))
    table = {**filled, **alone}
    assert reasons(table, BROKEN) == []
    assert marks(table) == EXPECTED.strip()


async def test_what_does_not_work_is_shown_with_its_reason(ground: Ground) -> None:
    async def stumbles(ground: Ground, subject: Subject) -> None:
        raise ConnectionError("nobody there")

    table = await fill(ground, SUBJECTS[:1], {"submit": Check(stumbles)})
    assert marks(table) == "gateway  submit\nark      ✗"
    assert reasons(table, BROKEN) == ["✗ ark, submit: ConnectionError: nobody there"]
