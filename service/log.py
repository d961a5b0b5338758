"""Log lines: one JSON object each, a stable name and fields; for people at a terminal, the same on one short line.

Absent on purpose: request paths, headers and bodies. What is never formatted can never leak.
"""

import logging
import sys
from typing import Any

import orjson

_PLAIN = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class Lines(logging.Formatter):
    def __init__(self, people: bool) -> None:
        super().__init__()
        self._people = people

    def format(self, record: logging.LogRecord) -> str:
        fields = {k: v for k, v in record.__dict__.items() if k not in _PLAIN}
        trace = self.formatException(record.exc_info) if record.exc_info else None
        if self._people:
            line = " ".join(
                [
                    f"{self.formatTime(record, '%H:%M:%S')} {_calm(record.getMessage()):<24}",
                    *(f"{k}={_calm(v)}" for k, v in fields.items()),
                ]
            )
            return f"{line}\n{trace}" if trace else line
        wide: dict[str, Any] = {"at": record.created, "level": record.levelname.lower(), "event": record.getMessage(), **fields}
        if trace:
            wide["trace"] = trace
        try:
            return orjson.dumps(wide, default=str).decode()
        except TypeError:  # a number or a text that JSON does not know; without the line we would know less
            return orjson.dumps({k: ascii(v) for k, v in wide.items()}).decode()


def _calm(value: object) -> str:
    """What others said may not move the cursor of whoever reads it."""
    text = str(value)
    return text if text.isprintable() else ascii(text)


def configure(level: int = logging.INFO) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(people=sys.stderr.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("callsheet").setLevel(level)
