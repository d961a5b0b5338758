"""Figures as a JSON file that can be laid beside an earlier one. It says what machine they are from, and not whose."""

import json
import os
import platform
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

Measured = Mapping[str, Mapping[str, Any]]
"""By key: `Figure.as_dict()`."""

PACKAGES = ("uvicorn", "starlette", "sqlalchemy", "asyncpg", "aiohttp")


def machine() -> dict[str, Any]:
    """What figures depend on; no names of hosts, users or folders."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory / 1024**3, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: version(name) for name in PACKAGES},
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def read(path: Path) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(path.read_text())
    return known


def merge(path: Path, measured: Measured) -> None:
    """One bench alone renews its own figures and leaves the others'."""
    known = read(path) if path.exists() else {}
    figures = {**known.get("figures", {}), **measured}
    whole = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "figures": figures}
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def compared(now: Measured, earlier: Mapping[str, Any]) -> list[str]:
    """A change is one where the spreads no longer touch; a smaller one is what repeating it would show as well."""
    lines = []
    before: Measured = earlier["figures"]
    here, there = machine(), earlier.get("machine", {})
    other = [key for key in ("processor", "cores", "system", "python") if here[key] != there.get(key)]
    if other:
        lines.append(f"another machine: {', '.join(f'{key} {there.get(key)} → {here[key]}' for key in other)}")
    for key, figure in now.items():
        if key not in before:
            lines.append(f"{key:<64} new")
            continue
        was, change = before[key], figure["median"] / before[key]["median"] - 1 if before[key]["median"] else 0.0
        lines.append(f"{key:<64} {was['median']:8.3g} → {figure['median']:.3g}  {change:+.0%}  {_word(figure, was)}")
    return lines


def _word(now: Mapping[str, Any], was: Mapping[str, Any]) -> str:
    if now["spread"][0] <= was["spread"][1] and was["spread"][0] <= now["spread"][1]:
        return "within the spread"
    return "worse" if (now["median"] > was["median"]) == now["lower_is_better"] else "better"
