"""`python -m tests.gateways.table`: what works at which gateway, tried out over real HTTP just now."""

import asyncio
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.gateways.checks import COLUMNS, Check
from tests.gateways.ground import Ground, at_each, open_ground
from tests.gateways.subjects import SANDBOX, SUBJECTS, Subject

WORKS, LACKING, BROKEN = "✓", "–", "✗"


@dataclass(frozen=True)
class Cell:
    mark: str
    why: str = ""


Table = Mapping[str, Mapping[str, Cell]]


async def fill(ground: Ground, subjects: Sequence[Subject], columns: Mapping[str, Check] = COLUMNS) -> Table:
    async def row(subject: Subject) -> Mapping[str, Cell]:
        cells = await asyncio.gather(*(_cell(check, ground, subject) for check in columns.values()))
        return dict(zip(columns, cells, strict=True))

    return await at_each(subjects, row)


async def _cell(check: Check, ground: Ground, subject: Subject) -> Cell:
    lacking = check.lacking(subject)
    if lacking is not None:
        return Cell(LACKING, lacking)
    try:
        await check.see(ground, subject)
    except Exception as error:  # whatever it is, it belongs into the table
        return Cell(BROKEN, f"{type(error).__name__}: {error}")
    return Cell(WORKS)


def marks(table: Table) -> str:
    columns = next(iter(table.values()))
    rows = [("gateway", *columns), *((label, *(cell.mark for cell in cells.values())) for label, cells in table.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def reasons(table: Table, mark: str) -> list[str]:
    return [
        f"{mark} {label}, {column}: {cell.why}"
        for label, cells in table.items()
        for column, cell in cells.items()
        if cell.mark == mark
    ]


async def tried_out() -> Table:
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for part in ("gateways", "sandbox"):
            (home / part).mkdir()
        ground = await stack.enter_async_context(open_ground(home / "gateways"))
        sandboxed = await stack.enter_async_context(open_ground(home / "sandbox", subjects=()))
        tables = await asyncio.gather(fill(ground, SUBJECTS), fill(sandboxed, [SANDBOX]))
        return {**tables[0], **tables[1]}


def main() -> int:
    table = asyncio.run(tried_out())
    broken = reasons(table, BROKEN)
    print("\n".join([marks(table), "", *reasons(table, LACKING), *broken]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
