"""Tokens come out exactly as the published usages; whatever was assumed is said."""

from decimal import Decimal
from typing import Any

import pytest

from service.domain.catalog import Catalog
from service.domain.estimate import tokens
from service.domain.families import FAMILIES, SHAPES
from service.domain.order import Item, Order

CATALOG = Catalog.default()
PRO = "seedance-1-0-pro-250528"
PRO15 = "seedance-1-5-pro-251215"
S20 = "dreamina-seedance-2-0-260128"
S25 = "dreamina-seedance-2-5-260628"
FIRST = Item("image_url", "https://media.example/a.png")
VIDEO = Item("video_url", "https://media.example/a.mp4", "reference_video")


def order(model: str, prompt: str | None = "a cat", *items: Item, **fields: Any) -> Order:
    return Order(model, prompt, items, **{"resolution": "720p", "ratio": "16:9", **fields})


@pytest.mark.parametrize(
    ("width", "height", "seconds", "billed"),
    [
        (864, 480, 2, 19_845),
        (864, 480, 5, 49_005),
        (1248, 704, 5, 103_818),
        (1280, 720, 5, 108_900),
        (1920, 1088, 5, 246_840),
        (1920, 1088, 6, 295_800),
        (1248, 1664, 15, 732_108),
    ],
)
def test_the_published_usages_come_out_exactly(width: int, height: int, seconds: int, billed: int) -> None:
    assert tokens(width, height, seconds) == billed


@pytest.mark.parametrize(
    ("asked", "billed"),
    [
        (order(PRO, resolution="480p", duration=2), 19_845),
        (order("seedance-1-0-lite-t2v-250428", duration=5), 103_818),
        (order("doubao-seedance-2-0-fast-260128", duration=5), 108_900),
        (order(PRO, resolution="1080p", duration=6), 295_800),
        (order(S20, resolution="1080p", ratio="3:4", duration=15), 732_108),
    ],
)
def test_orders_that_were_published_with_their_bill_are_estimated_exactly(asked: Order, billed: int) -> None:
    assert CATALOG.estimate(asked).tokens == billed


def test_defaults_and_flags_count() -> None:
    assert CATALOG.estimate(Order(PRO, "a cat")) == CATALOG.estimate(order(PRO, resolution="1080p", duration=5))
    assert CATALOG.estimate(Order(PRO, "a cat --rs 480p --dur 2")).tokens == 19_845


def test_frames_replace_the_seconds() -> None:
    assert CATALOG.estimate(order(PRO, resolution="480p", frames=49)).tokens == 19_845


def test_the_effective_order_shows_flags_and_defaults() -> None:
    made = CATALOG.effective(Order(PRO15, "a cat --dur 8"))
    assert (made.resolution, made.ratio, made.duration, made.generate_audio) == ("720p", "adaptive", 8, True)
    assert (made.seed, made.service_tier, made.draft) == (-1, "default", False)
    assert CATALOG.effective(Order(PRO, "a cat")).generate_audio is False
    assert CATALOG.effective(Order("ep-1", "a cat --dur 8")) == Order("ep-1", "a cat --dur 8", duration=8)


def test_a_draft_is_made_small_and_billed_less() -> None:
    said = CATALOG.estimate(order(PRO15, resolution=None, duration=5, draft=True))
    assert said.tokens == tokens(864, 496, 5) * 60 // 100
    assert "draft" in said.basis


def test_an_adaptive_ratio_is_taken_as_the_largest_and_said_so() -> None:
    said = CATALOG.estimate(order(S20, "a cat", FIRST, ratio=None, duration=5))
    assert said.tokens == tokens(1112, 834, 5)
    assert "ratio adaptive taken as the largest of 720p" in said.basis


def test_a_free_duration_is_taken_as_the_longest_and_said_so() -> None:
    said = CATALOG.estimate(order(S25))
    assert said.tokens == tokens(1280, 720, 30)
    assert "duration -1 taken as 30 s" in said.basis


def test_reference_videos_are_billed_too_and_said_so() -> None:
    said = CATALOG.estimate(order(S25, "a cat", VIDEO, duration=30))
    assert said.tokens == 1_296_900  # as published for 30 s made from about 30 s
    assert "reference videos" in said.basis


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (order("ep-1"), "not in the catalog"),
        (order(PRO15, None, Item("draft_task", "cgt-1")), "those of the draft"),
        (order(PRO, resolution="8k"), "no size"),
        (order(PRO, ratio="5:4"), "no size"),
        (order(PRO, duration=-1), "no size"),
        (order(PRO, duration=0), "no size"),
        (order(PRO, frames=-3), "no size"),
        (order(PRO, frames=2 * 10**26), "no size"),
    ],
)
def test_where_nothing_sensible_can_be_said_it_says_so(asked: Order, words: str) -> None:
    said = CATALOG.estimate(asked)
    assert (said.tokens, said.usd) == (None, None)
    assert words in said.basis


@pytest.mark.parametrize(
    ("asked", "usd_per_million"),
    [
        (order(PRO, duration=5), "2.50"),
        (order("seedance-1-0-pro-fast-251015", duration=5), "1.00"),
        (order(PRO15, duration=5), "2.40"),
        (order(PRO15, duration=5, generate_audio=False), "1.20"),
        (order(PRO15, duration=5, service_tier="flex"), "1.20"),
        (order(S20, duration=5), "7.0"),
        (order(S20, "a cat", VIDEO, duration=5), "4.3"),
        (order(S20, duration=5, resolution="1080p"), "7.7"),
        (order(S20, duration=5, resolution="4k"), "4.0"),
        (order("doubao-seedance-2-0-fast-260128", duration=5), "5.6"),
        (order("seedance-2-0-mini-260615", "a cat", VIDEO, duration=5), "2.1"),
        (order(S25, duration=5), "10.7"),
        (order(S25, "a cat", VIDEO, duration=5, resolution="1080p"), "11.7"),
    ],
)
def test_the_price_follows_what_is_made(asked: Order, usd_per_million: str) -> None:
    said = CATALOG.estimate(asked)
    assert said.tokens is not None
    assert said.usd == (Decimal(usd_per_million) * said.tokens / 1_000_000).quantize(Decimal("0.0001"))
    assert "unverified price" in said.basis


def test_a_family_without_a_price_is_estimated_in_tokens_alone() -> None:
    said = CATALOG.estimate(order("seedance-1-0-lite-t2v-250428"))
    assert (said.tokens, said.usd) == (103_818, None)
    assert "no price is known" in said.basis


def test_the_operators_prices_win() -> None:
    rows = [{"usd": 3, "resolutions": ["1080p"]}, {"usd": "1.5"}]
    catalog = CATALOG.extended({"prices": {"seedance-1-0-pro": rows, PRO: 4.25, "seedance-1-0-lite-t2v": 1.8}})
    said = catalog.estimate(order(PRO, duration=5))
    assert said.usd == Decimal("0.4412")  # 103,818 tokens at 4.25
    assert "configured price" in said.basis
    assert catalog.estimate(order("seedance-1-0-pro", duration=5)).usd == Decimal("0.1557")
    assert catalog.estimate(order("seedance-1-0-pro", duration=5, resolution="1080p")).usd == Decimal("0.7405")
    assert catalog.estimate(order("seedance-1-0-lite-t2v", duration=5)).usd == Decimal("0.1869")
    assert "unverified price" in catalog.estimate(order(S20, duration=5)).basis


@pytest.mark.parametrize("name", FAMILIES)
def test_every_size_a_family_makes_has_its_pixels_and_its_price_row(name: str) -> None:
    family = FAMILIES[name]
    for resolution in family.resolutions:
        for ratio in (*SHAPES, "adaptive"):
            said = CATALOG.estimate(order(name, resolution=resolution, ratio=ratio, duration=5))
            assert said.tokens
            assert "lite" in name or said.usd
