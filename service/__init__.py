"""Callsheet: the event service for Seedance video tasks. Start with `service/README.md`."""

import sys

__version__ = "0.1.0"
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # httpx's own command line: 3 MiB of rich and pygments
