"""Prices: the defaults, and the operator's own as they are read from the configuration.

They differ by account, region and gateway, and change: the operator's are the ones to trust.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from service.domain.errors import Fault

USD_LIMIT = Decimal(100_000)
"""Dollars per million tokens that are taken for meant; more is a slip of the unit."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens, for orders that meet every condition set."""

    usd: Decimal
    resolutions: tuple[str, ...] = ()
    """Empty: any."""
    audio: bool | None = None
    video: bool | None = None
    """With reference videos."""
    configured: bool = False
    """By the operator. The prices below come from third parties' notes."""

    def fits(self, resolution: str | None, audio: bool, video: bool) -> bool:
        return (
            (not self.resolutions or resolution in self.resolutions)
            and self.audio in (None, audio)
            and self.video in (None, video)
        )


def _price(usd: str, *resolutions: str, audio: bool | None = None, video: bool | None = None) -> Price:
    return Price(Decimal(usd), resolutions, audio, video)


PRICES: Mapping[str, tuple[Price, ...]] = {
    "seedance-1-0-pro": (_price("2.50"),),
    "seedance-1-0-pro-fast": (_price("1.00"),),
    "seedance-1-5-pro": (_price("1.20", audio=False), _price("2.40", audio=True)),
    "seedance-2-0": (
        _price("4.3", "480p", "720p", video=True),
        _price("7.0", "480p", "720p"),
        _price("4.7", "1080p", video=True),
        _price("7.7", "1080p"),
        _price("2.4", "4k", video=True),
        _price("4.0", "4k"),
    ),
    "seedance-2-0-fast": (_price("3.3", video=True), _price("5.6")),
    "seedance-2-0-mini": (_price("2.1", video=True), _price("3.5")),
    "seedance-2-5": (_price("6.4", "480p", "720p", video=True), _price("10.7", "480p", "720p"), _price("11.7", "1080p")),
}
"""The first row that fits counts. Families without rows have no price that anybody has written down."""


def read(raw: object, path: str) -> tuple[tuple[Price, ...], tuple[Fault, ...]]:
    """One entry of `[prices]`: a number, or rows such as `{usd = 7.0, resolutions = ["720p"], video = false}`."""
    if not isinstance(raw, list):
        raw = [{"usd": raw}]
    faults: list[Fault] = []
    rows: list[Price] = []
    for index, row in enumerate(raw):
        place = f"{path}[{index}]" if len(raw) > 1 else path
        found = tuple(_row_faults(row, place))
        faults += found
        if not found:
            usd, resolutions = Decimal(str(row["usd"])), tuple(row.get("resolutions", ()))
            rows.append(Price(usd, resolutions, row.get("audio"), row.get("video"), configured=True))
    if not raw:
        faults.append(Fault(path, "has no rows: write a number, or at least one row."))
    return tuple(rows), tuple(faults)


def _row_faults(row: Any, path: str) -> Iterator[Fault]:
    if not isinstance(row, dict):
        yield Fault(path, "has to be a table with usd.")
        return
    for key in sorted(row.keys() - {"usd", "resolutions", "audio", "video"}):
        yield Fault(f"{path}.{key}", "is unknown: use usd, resolutions, audio, video.")
    if not _is_price(row.get("usd")):
        yield Fault(f"{path}.usd", f"has to be dollars per million tokens, from 0 to {USD_LIMIT}.")
    resolutions = row.get("resolutions", [])
    if not isinstance(resolutions, list) or not all(isinstance(name, str) for name in resolutions):
        yield Fault(f"{path}.resolutions", 'has to be a list such as ["480p", "720p"].')
    for key in ("audio", "video"):
        if not isinstance(row.get(key, True), bool):
            yield Fault(f"{path}.{key}", "has to be true or false.")


def _is_price(raw: object) -> bool:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return False
    try:
        return Decimal(0) <= Decimal(str(raw)) <= USD_LIMIT
    except InvalidOperation:
        return False
