"""The catalog refuses what was bound to fail, names every fault at once, and lets everything else pass."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.catalog import Catalog, Checked
from service.domain.content import CONTENT_LIMIT, IMAGE_LIMIT_B, ROLES
from service.domain.errors import ConfigError
from service.domain.families import FAMILIES, RATIOS
from service.domain.order import Item, Order
from service.domain.prices import PRICES

CATALOG = Catalog.default()

T2V = "seedance-1-0-lite-t2v-250428"
I2V = "seedance-1-0-lite-i2v-250428"
PRO = "seedance-1-0-pro-250528"
FAST = "doubao-seedance-1-0-pro-fast-251015"
PRO15 = "seedance-1-5-pro-251215"
S20 = "dreamina-seedance-2-0-260128"
S20FAST = "doubao-seedance-2-0-fast-260128"
MINI = "dreamina-seedance-2-0-mini-260615"
S25 = "dreamina-seedance-2-5-260628"

TEXT = Item("text", "a cat")
FIRST = Item("image_url", "https://media.example/first.png", "first_frame")
LAST = Item("image_url", "https://media.example/last.png", "last_frame")
PLAIN_IMAGE = Item("image_url", "https://media.example/one.png")
REF = Item("image_url", "asset://cat", "reference_image")
VIDEO = Item("video_url", "https://media.example/a.mp4", "reference_video")
AUDIO = Item("audio_url", "data:audio/wav;base64,UklGRg==", "reference_audio")
DRAFT = Item("draft_task", "cgt-20261120223300-abcde")


def text(model: str, prompt: str = "a cat", **fields: Any) -> Order:
    return Order(model, prompt, **fields)


def media(model: str, *items: Item, **fields: Any) -> Order:
    return Order(model, content=items, **fields)


def image(url: str) -> Item:
    return Item("image_url", url, "first_frame")


BAD: list[tuple[str, Order, set[str]]] = [
    # what holds for every model
    ("no model", text(" "), {"model"}),
    ("nothing said at all", Order(PRO), {"prompt"}),
    ("an empty prompt", text(PRO, "  "), {"prompt"}),
    ("an empty text item", media(PRO, Item("text", "")), {"content[0].text"}),
    ("only flags", text(PRO, "--dur 5 --rs 480p"), {"prompt"}),
    ("an unknown type", media(PRO, TEXT, Item("model_url", "https://x.example/y")), {"content[1].type"}),
    ("an unknown role", media(PRO, Item("image_url", "https://x.example/y", "middle_frame")), {"content[0].role"}),
    ("a role on text", media(PRO, Item("text", "a cat", "first_frame")), {"content[0].role"}),
    ("an image's role on a video", media(S20, TEXT, Item("video_url", "asset://v", "reference_image")), {"content[1].role"}),
    ("an image by ftp", media(PRO, image("ftp://x.example/y.png")), {"content[0].image_url.url"}),
    ("an image address without a host", media(PRO, image("https:///y.png")), {"content[0].image_url.url"}),
    ("an image address with a blank", media(PRO, image("https://x.example/a b.png")), {"content[0].image_url.url"}),
    ("an inline image in capitals", media(PRO, image("data:image/PNG;base64,iVBO")), {"content[0].image_url.url"}),
    ("an inline image without base64", media(PRO, image("data:image/png,iVBO")), {"content[0].image_url.url"}),
    ("an inline image without bytes", media(PRO, image("data:image/png;base64,")), {"content[0].image_url.url"}),
    ("an inline audio as image", media(PRO, image("data:audio/wav;base64,AAAA")), {"content[0].image_url.url"}),
    ("an inline video", media(S20, Item("video_url", "data:video/mp4;base64,AAAA")), {"content[0].video_url.url"}),
    ("an audio in capitals", media(S25, Item("audio_url", "data:audio/WAV;base64,AAAA")), {"content[0].audio_url.url"}),
    ("an audio by path", media(S25, Item("audio_url", "/music.wav")), {"content[0].audio_url.url"}),
    ("two first frames", media(PRO, FIRST, FIRST), {"content[1].role"}),
    ("two last frames", media(PRO, FIRST, LAST, LAST), {"content[2].role"}),
    ("a last frame without a first", media(PRO, TEXT, LAST), {"content[1].role"}),
    ("two images without roles", media(PRO, PLAIN_IMAGE, PLAIN_IMAGE), {"content[0].role", "content[1].role"}),
    ("frames beside references", media(S20, TEXT, FIRST, REF), {"content[1].role"}),
    ("a frame beside a video", media(S25, TEXT, PLAIN_IMAGE, VIDEO), {"content[1].role"}),
    ("endless content", media(S25, *[REF] * (CONTENT_LIMIT + 1)), {"content"}),
    ("a seed below -1", text(PRO, seed=-2), {"seed"}),
    ("a seed over 32 bits", text(PRO, seed=2**32), {"seed"}),
    ("an hour too short to expire", text(PRO, execution_expires_after=3_599), {"execution_expires_after"}),
    ("over three days to expire", text(PRO, execution_expires_after=259_201), {"execution_expires_after"}),
    ("a safety identifier in Chinese", text(PRO, safety_identifier="用户"), {"safety_identifier"}),
    ("a safety identifier of 65", text(PRO, safety_identifier="x" * 65), {"safety_identifier"}),
    ("an unknown tier", text(PRO, service_tier="turbo"), {"service_tier"}),
    ("a priority of ten", text(S20, priority=10), {"priority"}),
    ("a negative priority", text(S20, priority=-1), {"priority"}),
    # frames and duration
    ("30 frames", text(PRO, frames=30), {"frames"}),
    ("25 frames", text(PRO, frames=25), {"frames"}),
    ("293 frames", text(PRO, frames=293), {"frames"}),
    ("frames with duration", text(PRO, frames=29, duration=5), {"frames"}),
    ("frames on 1.5", text(PRO15, frames=29), {"frames"}),
    ("frames on 2.0", text(S20, frames=29), {"frames"}),
    ("1 second on 1.0", text(PRO, duration=1), {"duration"}),
    ("13 seconds on 1.0", text(PRO, duration=13), {"duration"}),
    ("-1 on 1.0", text(PRO, duration=-1), {"duration"}),
    ("0 seconds", text(S20, duration=0), {"duration"}),
    ("3 seconds on 1.5", text(PRO15, duration=3), {"duration"}),
    ("16 seconds on 2.0", text(S20, duration=16), {"duration"}),
    ("31 seconds on 2.5", text(S25, duration=31), {"duration"}),
    # picture
    ("a ratio nobody makes", text(S20, ratio="5:4"), {"ratio"}),
    ("9:21 on 2.0", text(S20, ratio="9:21"), {"ratio"}),
    ("adaptive from text on 1.0 pro", text(PRO, ratio="adaptive"), {"ratio"}),
    ("adaptive from text on lite", text(T2V, ratio="adaptive"), {"ratio"}),
    ("1080p with references on lite", media(I2V, TEXT, REF, resolution="1080p"), {"resolution"}),
    ("1080p on 2.0 fast", text(S20FAST, resolution="1080p"), {"resolution"}),
    ("1080p on 2.0 mini", text(MINI, resolution="1080p"), {"resolution"}),
    ("4k on 2.5", text(S25, resolution="4k"), {"resolution"}),
    ("4k on 1.5", text(PRO15, resolution="4k"), {"resolution"}),
    ("720P in capitals", text(PRO, resolution="720P"), {"resolution"}),
    # modes
    ("an image on lite t2v", media(T2V, TEXT, PLAIN_IMAGE), {"content[1].role"}),
    ("text alone on lite i2v", text(I2V), {"content"}),
    ("a last frame on pro fast", media(FAST, TEXT, FIRST, LAST), {"content[2].role"}),
    ("references on 1.0 pro", media(PRO, TEXT, REF), {"content[1].role"}),
    ("references on 1.5", media(PRO15, TEXT, REF), {"content[1].role"}),
    ("a video on 1.5", media(PRO15, TEXT, VIDEO), {"content[1].type"}),
    ("audio on 1.0", media(PRO, TEXT, AUDIO), {"content[1].type"}),
    ("audio on lite i2v", media(I2V, TEXT, REF, AUDIO), {"content[2].type"}),
    ("five references on lite", media(I2V, TEXT, *[REF] * 5), {"content"}),
    ("ten references on 2.0", media(S20, TEXT, *[REF] * 10), {"content"}),
    ("four videos on 2.0", media(S20, TEXT, *[VIDEO] * 4), {"content"}),
    ("four audios on 2.0", media(S20, TEXT, REF, *[AUDIO] * 4), {"content"}),
    ("31 references on 2.5", media(S25, TEXT, *[REF] * 31), {"content"}),
    ("audio alone on 2.0", media(S20, TEXT, AUDIO), {"content"}),
    # parameters a family does not have
    ("sound on 1.0", text(PRO, generate_audio=True), {"generate_audio"}),
    ("a fixed camera on 2.0", text(S20, camera_fixed=True), {"camera_fixed"}),
    ("a fixed camera with references", media(I2V, TEXT, REF, camera_fixed=True), {"camera_fixed"}),
    ("flex on 2.0", text(S20, service_tier="flex"), {"service_tier"}),
    ("flex on 2.5", text(S25, service_tier="flex"), {"service_tier"}),
    ("priority on 1.5", text(PRO15, priority=3), {"priority"}),
    ("priority with flex, whatever the model", text("ep-1", priority=3, service_tier="flex"), {"priority"}),
    ("priority with flex", text(PRO, priority=3, service_tier="flex"), {"priority"}),
    ("tools on 1.5", text(PRO15, tools=("web_search",)), {"tools"}),
    ("mov on 2.0", text(S20, output_format="mov"), {"output_format"}),
    ("avi on 2.5", text(S25, output_format="avi"), {"output_format"}),
    ("a task type on 2.0", text(S20, omni_reference_task_type="edit"), {"omni_reference_task_type"}),
    ("an unknown task type", text(S25, omni_reference_task_type="dream"), {"omni_reference_task_type"}),
    # drafts
    ("a draft on 1.0", text(PRO, draft=True, resolution="480p"), {"draft"}),
    ("a draft in 720p", text(PRO15, draft=True, resolution="720p"), {"resolution"}),
    ("a draft at flex", text(PRO15, draft=True, resolution="480p", service_tier="flex"), {"service_tier"}),
    ("a draft with last frame", text(PRO15, draft=True, resolution="480p", return_last_frame=True), {"return_last_frame"}),
    ("a draft task on 2.0", media(S20, DRAFT), {"content[0].type"}),
    ("two draft tasks", media(PRO15, DRAFT, DRAFT), {"content[1].type"}),
    ("text beside a draft task", media(PRO15, TEXT, DRAFT), {"content[0].type"}),
    ("a prompt beside a draft task", Order(PRO15, "a cat", (DRAFT,)), {"prompt"}),
    ("a draft of a draft task", media(PRO15, DRAFT, draft=True, resolution="480p"), {"draft"}),
    ("a draft task without id", media(PRO15, Item("draft_task", "")), {"content[0].draft_task.id"}),
    # 2.5 keeps the shape of what it is given
    ("a ratio with a first frame on 2.5", media(S25, TEXT, FIRST, ratio="16:9"), {"ratio"}),
    ("a ratio with both frames on 2.5", media(S25, TEXT, FIRST, LAST, ratio="1:1"), {"ratio"}),
    ("a ratio to edit", media(S25, TEXT, VIDEO, ratio="4:3", omni_reference_task_type="edit"), {"ratio"}),
    ("a ratio to extend", media(S25, TEXT, VIDEO, ratio="4:3", omni_reference_task_type="extend"), {"ratio"}),
    ("a duration to edit", media(S25, TEXT, VIDEO, duration=5, omni_reference_task_type="edit"), {"duration"}),
    # flags in the prompt
    ("a flag with a wrong ratio", text(PRO, "a cat --ratio 5:4"), {"prompt"}),
    ("a flag with 4k", text(PRO, "a cat --rs 4k"), {"prompt"}),
    ("a flag with a wrong duration", media(PRO, Item("text", "a cat --dur 60")), {"content[0].text"}),
    ("a flag against its field", text(PRO, "a cat --dur 5", duration=8), {"prompt"}),
    ("frames as a flag beside duration", text(PRO, "a cat --frames 29", duration=8), {"prompt"}),
]


@pytest.mark.parametrize(("order", "fields"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_order_is_refused_with_exactly_its_fields_named(order: Order, fields: set[str]) -> None:
    faults = CATALOG.check(order).faults
    assert {fault.field for fault in faults} == fields
    assert all(len(fault.message) > 10 for fault in faults)


GOOD: list[tuple[str, Order]] = [
    ("lite t2v", text(T2V, resolution="1080p", ratio="21:9", frames=289)),
    ("lite i2v, an image without a role", media(I2V, TEXT, PLAIN_IMAGE, ratio="adaptive", resolution="1080p")),
    ("lite i2v, both frames", media(I2V, FIRST, LAST)),
    ("lite i2v, four references", media(I2V, TEXT, *[REF] * 4, resolution="720p", ratio="9:16")),
    (
        "1.0 pro, text",
        text(PRO, resolution="1080p", ratio="16:9", duration=12, camera_fixed=True, service_tier="flex", seed=-1),
    ),
    ("1.0 pro, first frame, inline", media(PRO, TEXT, image("data:image/png;base64,iVBORw0KGgo="), frames=29)),
    ("1.0 pro, both frames", media(PRO, TEXT, FIRST, LAST, ratio="adaptive", return_last_frame=True)),
    (
        "1.0 pro, everything that asks for nothing",
        text(PRO, generate_audio=False, draft=False, priority=0, output_format="mp4"),
    ),
    ("1.0 pro, the frame's text holds flags only", media(PRO, Item("text", "--ratio adaptive --dur 5"), FIRST)),
    ("1.0 pro, a ratio of some gateways", text(PRO, ratio="9:21")),
    ("pro fast, text", text(FAST, duration=2)),
    ("pro fast, first frame", media(FAST, TEXT, FIRST)),
    ("1.5, text", text(PRO15, ratio="adaptive", duration=-1, generate_audio=True, service_tier="flex", camera_fixed=True)),
    ("1.5, a draft", text(PRO15, draft=True, resolution="480p", duration=4)),
    ("1.5, a draft whose resolution is left out", text(PRO15, draft=True)),
    ("1.5, the full video of a draft", media(PRO15, DRAFT, resolution="1080p", return_last_frame=True)),
    ("1.5, both frames", media(PRO15, FIRST, LAST, ratio="16:9")),
    ("2.0, text in 4k", text(S20, resolution="4k", duration=15, priority=9, tools=("web_search",), generate_audio=False)),
    ("2.0, first frame in a fixed ratio", media(S20, TEXT, FIRST, ratio="16:9")),
    ("2.0, references of all kinds", media(S20, TEXT, *[REF] * 9, *[VIDEO] * 3, *[AUDIO] * 3, duration=-1)),
    ("2.0, values that ask for nothing", text(S20, camera_fixed=False, service_tier="default", draft=False)),
    ("2.0 fast", media(S20FAST, TEXT, VIDEO, resolution="720p")),
    ("2.0 mini", text(MINI, resolution="480p", ratio="1:1")),
    ("2.5, text", text(S25, resolution="1080p", ratio="16:9", duration=30, output_format="mov")),
    ("2.5, first frame", media(S25, TEXT, FIRST, ratio="adaptive")),
    ("2.5, a draft", text(S25, draft=True, resolution="480p")),
    ("2.5, audio alone", media(S25, TEXT, AUDIO)),
    ("2.5, an edit", media(S25, TEXT, VIDEO, duration=-1, omni_reference_task_type="edit")),
    ("2.5, an extension", media(S25, TEXT, VIDEO, duration=8, omni_reference_task_type="extend")),
    ("2.5, many references", media(S25, TEXT, *[REF] * 30, *[VIDEO] * 10, *[AUDIO] * 10, omni_reference_task_type="reference")),
    ("the edges of what holds for all", text(PRO, seed=2**32 - 1, execution_expires_after=3_600, safety_identifier="x" * 64)),
    ("the longest wait", text(PRO, execution_expires_after=259_200)),
    ("prose with dashes", text(PRO, "a cat -- no, two cats --help --quality high --durable")),
]


@pytest.mark.parametrize("order", [case[1] for case in GOOD], ids=[case[0] for case in GOOD])
def test_a_good_order_passes(order: Order) -> None:
    assert CATALOG.check(order).faults == ()


@pytest.mark.parametrize("prefix", ["", "doubao-", "dreamina-"])
@pytest.mark.parametrize("suffix", ["", "-260128"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_found_under_every_vendors_name(prefix: str, name: str, suffix: str) -> None:
    family = CATALOG.family(prefix + name + suffix)
    assert family is not None
    assert family.name == name


@pytest.mark.parametrize("model", ["ep-20261120-abcde", "seedance-3-0-270101", "sora-2", "bytedance/seedance-2-0"])
def test_an_unknown_model_passes_with_a_warning(model: str) -> None:
    order = text(model, "a cat", duration=99, resolution="8k", ratio="2:1", tools=("web_search",), generate_audio=True)
    checked = CATALOG.check(order)
    assert checked.faults == ()
    assert model in checked.warnings[0]


def test_an_unknown_model_may_know_types_and_roles_that_we_do_not() -> None:
    checked = CATALOG.check(media("seedance-9-0", TEXT, Item("depth_url", "x"), Item("image_url", "asset://m", "mask")))
    assert checked.faults == ()
    assert len(checked.warnings) == 3


def test_an_unknown_model_is_still_held_to_what_holds_for_all() -> None:
    order = media("ep-1", FIRST, FIRST, execution_expires_after=1, frames=29, duration=5)
    assert {f.field for f in CATALOG.check(order).faults} == {"content[1].role", "execution_expires_after", "frames"}


def test_every_fault_is_named_at_once() -> None:
    order = media(S20, TEXT, AUDIO, ratio="5:4", resolution="8k", duration=99, seed=-5, service_tier="flex", frames=30)
    fields = {fault.field for fault in CATALOG.check(order).faults}
    assert fields == {"content", "ratio", "resolution", "duration", "seed", "service_tier", "frames"}


def test_a_fault_says_what_would_be_right() -> None:
    (fault,) = CATALOG.check(text(S20FAST, resolution="1080p")).faults
    assert fault.message == "1080p is not supported by seedance-2-0-fast: use 480p, 720p."


def test_a_fault_in_a_flag_shows_the_flag() -> None:
    (fault,) = CATALOG.check(text(S20FAST, "a cat --rs 1080p")).faults
    assert fault.field == "prompt"
    assert fault.message.startswith("--rs 1080p: ")


def test_no_fault_repeats_an_address_or_an_endless_value() -> None:
    secret = "ftp://x.example/?token=hush"  # the shape of a signed address
    order = media(PRO, image(secret), resolution="z" * 5_000, ratio="y" * 5_000)
    checked = CATALOG.check(order)
    assert len(checked.faults) == 3
    assert "hush" not in str(checked)
    assert max(len(fault.message) for fault in checked.faults) < 200


def test_an_inline_image_may_weigh_thirty_megabytes() -> None:
    at_most = "data:image/png;base64," + "A" * (IMAGE_LIMIT_B * 4 // 3)
    assert CATALOG.check(media(PRO, image(at_most))).faults == ()
    assert [f.field for f in CATALOG.check(media(PRO, image(at_most + "AAAA"))).faults] == ["content[0].image_url.url"]


WARNED: list[tuple[str, Order, str]] = [
    ("a long English prompt", text(PRO, "cat " * 1_001), "longer than recommended"),
    ("a long Chinese prompt", text(PRO, "猫" * 501), "longer than recommended"),
    ("a retired family", text(T2V), "retired on 2026-05-13"),
    ("a family that ends", text(PRO15), "retired on 2026-11-11"),
    ("a seed over 31 bits", text(PRO, seed=2**31), "seed"),
    ("an unknown tool", text(S20, tools=("code",)), "tools[0]"),
    ("tools beside pictures", media(S20, TEXT, FIRST, tools=("web_search",)), "tools"),
    ("a last frame from pro fast", text(FAST, return_last_frame=True), "last frame"),
    ("a draft without resolution", text(PRO15, draft=True), "480p"),
    ("a seed beside a draft task", media(PRO15, DRAFT, seed=5), "seed is taken from the draft"),
    ("a harmless tier on 2.0", text(S20, service_tier="default"), "leave it out"),
    ("a harmless camera on 2.0", text(S20, camera_fixed=False), "leave it out"),
    ("adaptive with references on lite", media(I2V, TEXT, REF, ratio="adaptive"), "not documented"),
    ("a gateway's ratio", text(PRO, ratio="keep_ratio"), "some gateways"),
    ("an odd image format", media(PRO, image("data:image/avif;base64,AAAA")), "format"),
    ("an edit without a video", media(S25, TEXT, REF, omni_reference_task_type="edit"), "without a reference video"),
    ("a video that may be read as an edit", media(S25, TEXT, VIDEO, ratio="4:3"), "reads as an edit"),
]


@pytest.mark.parametrize(("order", "words"), [case[1:] for case in WARNED], ids=[case[0] for case in WARNED])
def test_what_is_doubtful_only_warns(order: Order, words: str) -> None:
    checked = CATALOG.check(order)
    assert checked.faults == ()
    assert any(words in warning for warning in checked.warnings)


QUIET: list[tuple[str, Order]] = [
    ("an ordinary order", text(PRO, "a cat --ratio 16:9", duration=5)),
    ("a prompt as long as recommended", text(PRO, "cat " * 1_000)),
    ("a Chinese prompt as long as recommended", text(PRO, "猫" * 500)),
    ("a seed of 31 bits", text(PRO, seed=2**31 - 1)),
    ("a video that follows its source", media(S25, TEXT, VIDEO, ratio="adaptive", duration=-1)),
    ("a declared reference in its own ratio", media(S25, TEXT, VIDEO, ratio="4:3", omni_reference_task_type="reference")),
]


@pytest.mark.parametrize("order", [case[1] for case in QUIET], ids=[case[0] for case in QUIET])
def test_what_is_documented_raises_no_warning(order: Order) -> None:
    assert CATALOG.check(order) == Checked((), ())


def test_content_may_have_as_many_items_as_the_limit() -> None:
    faults = CATALOG.check(media("ep-1", TEXT, *[REF] * (CONTENT_LIMIT - 1))).faults
    assert faults == ()


# --- the operator's file ---


def test_the_operators_ids_and_patterns_belong_to_their_family() -> None:
    table = {
        "models": {"ep-1": {"family": "seedance-2-0"}, "relay/*-fast": {"family": "seedance-2-0-fast"}},
        "patience": {"x": 1},
    }
    catalog = CATALOG.extended(table)
    assert catalog.check(text("ep-1", resolution="4k")) == Checked((), ())
    assert [f.field for f in catalog.check(text("relay/sd2-fast", resolution="1080p")).faults] == ["resolution"]
    assert CATALOG.family("ep-1") is None


def test_an_operator_may_put_a_vendors_name_elsewhere() -> None:
    catalog = CATALOG.extended({"models": {S20: {"family": "seedance-2-5"}}})
    assert catalog.check(text(S20, duration=30)).faults == ()


def test_an_empty_file_changes_nothing() -> None:
    assert CATALOG.extended({}) == CATALOG


def test_every_fault_of_the_file_is_named() -> None:
    table = {
        "models": {"ep-1": {"family": "seedance-9"}, "ep-2": "seedance-2-0", "ep-3": {"family": "seedance-2-0", "price": 1}},
        "prices": {
            "ep-1": 1,
            "nobody": 1,
            "*": 1,
            "seedance-2-0": [],
            "seedance-2-5": -1,
            "seedance-1-5-pro": [{"usd": True, "audio": "yes"}, {"usd": "nan", "resolutions": "480p", "color": 1}, 7],
        },
    }
    with pytest.raises(ConfigError) as caught:
        CATALOG.extended(table)
    assert [fault.field for fault in caught.value.faults] == [
        "models.ep-1",
        "models.ep-2",
        "models.ep-3",
        "prices.nobody",
        "prices.*",
        "prices.seedance-2-0",
        "prices.seedance-2-5.usd",
        "prices.seedance-1-5-pro[0].usd",
        "prices.seedance-1-5-pro[0].audio",
        "prices.seedance-1-5-pro[1].color",
        "prices.seedance-1-5-pro[1].usd",
        "prices.seedance-1-5-pro[1].resolutions",
        "prices.seedance-1-5-pro[2]",
    ]


def test_a_price_may_be_nothing_and_has_a_top() -> None:
    CATALOG.extended({"prices": {"seedance-2-0": 0, "seedance-2-5": 100_000}})
    with pytest.raises(ConfigError):
        CATALOG.extended({"prices": {"seedance-2-5": 100_001}})


def test_a_file_whose_tables_are_no_tables_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        CATALOG.extended({"models": 5, "prices": [1]})
    assert [fault.field for fault in caught.value.faults] == ["models", "prices"]


# --- the data itself ---


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_familys_defaults_are_among_what_it_accepts(family: Any) -> None:
    assert family.resolution in family.resolutions
    assert set(family.resolutions) <= family.pixels.keys()
    assert family.modes <= family.ratios.keys()
    assert all(set(ratios) <= set(RATIOS) for ratios in family.ratios.values())
    assert family.seconds[0] <= family.duration <= family.seconds[1] or (family.chooses_duration and family.duration == -1)
    assert bool(family.videos) == bool(family.input_s)


def test_every_default_price_belongs_to_a_family() -> None:
    assert PRICES.keys() <= FAMILIES.keys()


# --- any order at all ---

WORDS = st.sampled_from(["", " ", "a cat", "--dur", "--rs 480p", "--seed -1", "--cf maybe", "--fps=24", "\ud800", "\x00", "猫"])
TEXTS = st.lists(WORDS, max_size=6).map(" ".join) | st.text(max_size=20)
ITEMS = st.builds(
    Item,
    st.sampled_from([*ROLES, "model_url"]),
    st.sampled_from(["https://x.example/a", "data:image/png;base64,AAAA", "asset://x", "data:", "--dur 5"]) | TEXTS,
    st.none() | st.sampled_from([role for roles in ROLES.values() for role in roles] + ["mask", ""]),
)
WHOLE = st.none() | st.integers(-3, 40) | st.integers()
SWITCH = st.none() | st.booleans()
ORDERS = st.builds(
    Order,
    model=st.sampled_from([T2V, I2V, PRO, FAST, PRO15, S20, S20FAST, MINI, S25, "ep-1", "", "x"]) | st.text(max_size=9),
    prompt=st.none() | TEXTS,
    content=st.lists(ITEMS, max_size=5).map(tuple),
    resolution=st.none() | st.sampled_from(["480p", "720p", "1080p", "4k"]) | st.text(max_size=5),
    ratio=st.none() | st.sampled_from([*RATIOS, "9:21"]) | st.text(max_size=5),
    duration=WHOLE,
    frames=WHOLE,
    seed=WHOLE,
    priority=WHOLE,
    execution_expires_after=WHOLE,
    watermark=SWITCH,
    camera_fixed=SWITCH,
    generate_audio=SWITCH,
    return_last_frame=SWITCH,
    draft=SWITCH,
    service_tier=st.none() | st.sampled_from(["default", "flex", "x"]),
    safety_identifier=st.none() | st.text(max_size=70),
    tools=st.lists(st.sampled_from(["web_search", "x"]), max_size=2).map(tuple),
    output_format=st.none() | st.sampled_from(["mp4", "mov", "x"]),
    omni_reference_task_type=st.none() | st.sampled_from(["auto", "edit", "extend", "x"]),
)


@given(ORDERS)
@settings(max_examples=400, deadline=None)
def test_any_order_is_judged_the_same_twice_and_nothing_raises(order: Order) -> None:
    checked = CATALOG.check(order)
    estimate = CATALOG.estimate(order)
    assert checked == Catalog.default().check(replace(order))
    assert all(fault.field and fault.message for fault in checked.faults)
    assert estimate.basis
    assert estimate.tokens is None or estimate.tokens >= 0
    assert estimate.usd is None or estimate.tokens is not None


@given(ORDERS)
@settings(max_examples=200, deadline=None)
def test_a_known_model_is_never_judged_milder_than_an_unknown_one(order: Order) -> None:
    unknown = {fault.field for fault in CATALOG.check(replace(order, model="ep-1")).faults}
    known = {fault.field for fault in CATALOG.check(replace(order, model=S25)).faults}
    assert unknown <= known
