"""The jobs over a restart: a gateway is elsewhere, and does not forget its tasks because one of its customers was killed.

One line per job placed or dropped, appended as it happens and written anew at each start. The file holds callback URLs,
which are secrets, so it is its owner's alone; it belongs to the simulated world, and production has none.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from service.sandbox.asks import Ask
from service.sandbox.families import family_of
from service.sandbox.job import Job
from service.sandbox.wishes import Wish

KEPT = 1_000
"""Jobs that are recalled: the newest."""
_SETS = ("lose", "garble")


class Memory:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def recall(self) -> list[Job]:
        """What was known before, oldest first; from here on it is written down."""
        known: dict[str, Mapping[str, Any]] = {}
        try:
            lines = self._path.read_text().splitlines()
        except FileNotFoundError:
            lines = []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the last line of a process that was killed while it wrote
            if "drop" in entry:
                known.pop(entry["drop"], None)
            else:
                known[entry["id"]] = entry
        kept = list(known.values())[-KEPT:]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")
        for entry in kept:
            self._write(entry)
        return [_job(entry) for entry in kept]

    def keep(self, job: Job) -> None:
        ask = {f.name: getattr(job.ask, f.name) for f in fields(Ask) if f.name not in ("family", "echoed")}
        wish = asdict(job.wish) | {name: sorted(getattr(job.wish, name)) for name in _SETS}
        own = ("id", "upstream_id", "number", "provider", "created_s", "seed", "root_url")
        self._write({n: getattr(job, n) for n in own} | {"ask": ask | {"echoed": dict(job.ask.echoed)}, "wish": wish})

    def drop(self, job: Job) -> None:
        self._write({"drop": job.id})

    def _write(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _job(entry: Mapping[str, Any]) -> Job:
    ask = Ask(family=family_of(entry["ask"]["model"]), **entry["ask"])
    wish = Wish(**(entry["wish"] | {name: frozenset(entry["wish"][name]) for name in _SETS}))
    own = {n: entry[n] for n in ("id", "upstream_id", "number", "provider", "created_s", "seed", "root_url")}
    return Job(**own, ask=ask, wish=wish, updated_s=entry["created_s"])
