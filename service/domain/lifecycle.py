"""What a task may become: the states, and the verdict on every report about every state.

The table is total on purpose. A provider repeats itself, forgets, contradicts itself and speaks out of order; whatever
it says, exactly one cell answers.
"""

from collections.abc import Iterable
from enum import StrEnum


class State(StrEnum):
    CREATED = "created"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    LOST = "lost"


class Verdict(StrEnum):
    ADVANCE = "advance"
    DUPLICATE = "duplicate"
    LATE = "late"
    CONFLICT = "conflict"
    UNCONFIRMED = "unconfirmed"
    """An ending that only a callback claims, of an account whose endings are confirmed. No cell of the table: it is asked
    about first, and the answer is what is judged."""


ENDINGS = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED})
"""The provider's last word. `lost` is not among them: it is our own, and late news still ends it."""

SETTLED = ENDINGS | {State.LOST}
"""Nobody is asked about these any more."""

_LETTERS = {"A": Verdict.ADVANCE, "d": Verdict.DUPLICATE, "l": Verdict.LATE, "X": Verdict.CONFLICT}
_ROWS = {
    #                 reported: created queued running succeeded failed cancelled expired lost
    State.CREATED: "            d       A      A       A         A      A         A       A",
    State.QUEUED: "             l       d      A       A         A      A         A       A",
    State.RUNNING: "            l       l      d       A         A      A         A       A",
    State.SUCCEEDED: "          l       l      l       d         X      X         X       l",
    State.FAILED: "             l       l      l       X         d      X         X       l",
    State.CANCELLED: "          l       l      l       X         X      d         X       l",
    State.EXPIRED: "            l       l      l       X         X      X         d       l",
    State.LOST: "               l       l      l       A         A      A         A       d",
}
TABLE: dict[tuple[State, State], Verdict] = {
    (current, reported): _LETTERS[letter]
    for current, row in _ROWS.items()
    for reported, letter in zip(State, row.split(), strict=True)
}


def judge(current: State, reported: State) -> Verdict:
    return TABLE[current, reported]


def fold(current: State, reports: Iterable[State]) -> State:
    """The state after these reports, in this order."""
    for reported in reports:
        if judge(current, reported) is Verdict.ADVANCE:
            current = reported
    return current


def chart() -> str:
    """The table as Markdown, for `service/README.md`."""
    lines = [
        "| is \\ said | " + " | ".join(State) + " |",
        "|---|" + "---|" * len(State),
    ]
    for current in State:
        cells = (TABLE[current, reported] for reported in State)
        lines.append(f"| **{current}** | " + " | ".join("**advance**" if c is Verdict.ADVANCE else c for c in cells) + " |")
    return "\n".join(lines)
