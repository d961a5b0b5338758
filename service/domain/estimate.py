"""What an order will be billed: tokens by the formula that the published usages follow exactly, money by configured prices.

Exact where everything is known; otherwise the most it can come to, and `basis` says what was assumed. Absent: what one
gateway charges on top, and the minimum a 2.0 task is billed, which nobody documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

from service.domain.content import Layout, layout
from service.domain.families import ADAPTIVE, SHAPES, Family, Mode
from service.domain.flags import FPS
from service.domain.order import Order
from service.domain.parameters import DRAFT_RESOLUTION
from service.domain.prices import Price

FLEX_PERCENT = 50
"""What of the price the flex tier costs."""
CENTS = Decimal("0.0001")
"""Money is rounded here: short clips cost fractions of a cent."""

MOST_FRAMES = FPS * 86_400
"""A day of them: more than any clip has. What is beyond is nonsense, and so would be its price."""


@dataclass(frozen=True, slots=True)
class Estimate:
    tokens: int | None
    """None: nothing sensible can be said."""
    usd: Decimal | None
    basis: str
    """How it was reckoned and what was assumed, for people."""


def tokens(width: int, height: int, duration_s: int) -> int:
    return tokens_of_frames(width, height, FPS * duration_s + 1)


def tokens_of_frames(width: int, height: int, frame_count: int) -> int:
    """That `frames` itself is what counts is inferred. Odd sizes leave a rest; nobody documents how it is rounded."""
    return width * height * frame_count // 1024


def effective(order: Order, family: Family) -> Order:
    """The order as it will be made: its fields, with flags already moved into them, then the family's defaults.
    −1 and adaptive remain: only the provider knows."""
    draft = bool(order.draft)
    return replace(
        order,
        resolution=order.resolution or (DRAFT_RESOLUTION if draft else family.resolution),
        ratio=order.ratio or family.ratios.get(layout(order).mode, (ADAPTIVE,))[0],
        duration=family.duration if order.duration is None and order.frames is None else order.duration,
        seed=-1 if order.seed is None else order.seed,
        watermark=bool(order.watermark),
        camera_fixed=bool(order.camera_fixed),
        generate_audio="generate_audio" in family.takes and order.generate_audio is not False,
        return_last_frame=bool(order.return_last_frame),
        service_tier=order.service_tier or "default",
        draft=draft,
    )


def estimate(order: Order, family: Family, prices: Sequence[Price]) -> Estimate:
    """`order` as `effective` made it."""
    seen = layout(order)
    if seen.mode is Mode.DRAFT:
        return Estimate(None, None, "Unknown: the length and the shape are those of the draft.")
    basis: list[str] = []
    area = _area(order, family, basis)
    frames = _frames(order, family, seen, basis)
    if area is None or frames is None or not 0 < frames <= MOST_FRAMES:
        return Estimate(None, None, "Unknown: no size or length is documented for what was asked.")
    count = area * frames // 1024
    if order.draft:
        count = count * family.draft_percent // 100
        basis.append(f"a draft is billed {family.draft_percent} % (unverified)")
    usd = _usd(order, seen, prices, count, basis)
    return Estimate(count, usd, f"{area} pixels × {frames} frames / 1024" + "".join(f"; {said}" for said in basis) + ".")


def _area(order: Order, family: Family, basis: list[str]) -> int | None:
    sizes = family.pixels.get(order.resolution or "", {})
    if order.ratio in SHAPES:
        width, height = sizes.get(order.ratio, (0, 0))
        return width * height or None
    if order.ratio not in (ADAPTIVE, *family.gateway_ratios) or not sizes:
        return None
    basis.append(f"ratio {order.ratio} taken as the largest of {order.resolution}")
    return max(width * height for width, height in sizes.values())


def _frames(order: Order, family: Family, seen: Layout, basis: list[str]) -> int | None:
    if order.frames is not None:
        return order.frames
    seconds = order.duration
    if seconds == -1 and family.chooses_duration:
        seconds = family.seconds[1]
        basis.append(f"duration -1 taken as {seconds} s, the longest")
    if seconds is None or seconds < 1:
        return None
    if seen.videos:
        seconds += family.input_s
        basis.append(f"reference videos are billed too and taken as {family.input_s} s, the most there can be")
    return FPS * seconds + 1


def _usd(order: Order, seen: Layout, prices: Sequence[Price], count: int, basis: list[str]) -> Decimal | None:
    price = next((p for p in prices if p.fits(order.resolution, bool(order.generate_audio), seen.videos > 0)), None)
    if price is None:
        basis.append("no price is known")
        return None
    usd = price.usd * count / 1_000_000
    kind = "configured" if price.configured else "unverified"
    basis.append(f"{kind} price of {price.usd} USD per million tokens")
    if order.service_tier == "flex":
        usd = usd * FLEX_PERCENT / 100
        basis.append(f"flex costs {FLEX_PERCENT} %")
    return usd.quantize(CENTS, ROUND_HALF_UP)
