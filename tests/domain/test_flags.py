"""Parameters written into a prompt are read, held to the rules of fields, and may not contradict them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.flags import FIELDS, Flag, merge, read
from service.domain.order import Item, Order

MODEL = "seedance-1-0-pro-250528"


def values(text: str) -> dict[str, object]:
    return {flag.field: flag.value for flag in read(text).flags}


def test_every_long_flag_is_read() -> None:
    text = (
        "a cat --resolution 720p --ratio 16:9 --duration 5 --framespersecond 24 --seed 11 --camerafixed false --watermark true"
    )
    assert values(text) == {
        "resolution": "720p",
        "ratio": "16:9",
        "duration": 5,
        "framespersecond": 24,
        "seed": 11,
        "camera_fixed": False,
        "watermark": True,
    }
    assert read(text).plain == "a cat"
    assert read(text).faults == ()


def test_every_short_flag_is_read() -> None:
    assert values("a cat --rs 480p --rt adaptive --frames 29 --fps 24 --seed -1 --cf true --wm false") == {
        "resolution": "480p",
        "ratio": "adaptive",
        "frames": 29,
        "framespersecond": 24,
        "seed": -1,
        "camera_fixed": True,
        "watermark": False,
    }


def test_a_flag_is_kept_as_it_was_typed() -> None:
    assert read("a cat --dur  7").flags == (Flag("duration", 7, "--dur 7"),)


def test_flags_may_stand_anywhere_and_lines_are_kept() -> None:
    assert read("--rs 480p Shot 1: a cat.\nShot 2: --dur 5 a dog.").plain == "Shot 1: a cat.\nShot 2: a dog."


def test_a_flag_may_follow_a_chinese_letter_at_once() -> None:
    reading = read("一只猫在跳舞。--ratio 9:16\n很开心--dur 5")
    assert [flag.field for flag in reading.flags] == ["ratio", "duration"]
    assert reading.plain == "一只猫在跳舞。\n很开心"


@pytest.mark.parametrize(
    "text",
    [
        "a cat --help",
        "a cat -- no, a dog --",
        "a cat—dur 5",
        "a cat --durable 5",
        "a cat --Ratio 16:9",
        "a cat ---ratio 16:9",
        "well--seed 5",
        "a cat --no-seed 5",
        "--noaudio true",
        "a cat -ratio 16:9",
    ],
)
def test_words_that_only_look_like_flags_are_left_alone(text: str) -> None:
    reading = read(text)
    assert (reading.plain, reading.flags, reading.faults) == (text, (), ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a cat --dur", "--dur has no value"),
        ("a cat --dur --rs 480p", "--dur has no value"),
        ("a cat --dur five", "--dur five is no value for it: write a whole number"),
        ("a cat --dur 5.5", "whole number"),
        ("a cat --dur ５", "whole number"),
        ("a cat --seed 99999999999999999999", "whole number"),
        ("a cat --frames 29f", "whole number"),
        ("a cat --fps 30", "--fps 30 is no value for it: write 24"),
        ("a cat --cf yes", "--cf yes is no value for it: write true or false"),
        ("a cat --wm 1", "true or false"),
        ("a cat --ratio=16:9", "write `--ratio 16:9`"),
    ],
)
def test_a_flag_without_a_usable_value_is_a_fault(text: str, words: str) -> None:
    (fault,) = read(text, "content[0].text").faults
    assert fault.field == "content[0].text"
    assert words in fault.message


def test_a_faulty_flag_does_not_hide_the_others() -> None:
    assert values("a cat --dur --rs 480p --seed 5") == {"resolution": "480p", "seed": 5}


def test_flags_fill_the_fields_that_are_empty() -> None:
    merged = merge(Order(MODEL, "a cat --dur 7 --cf false", (Item("text", "and a dog --rs 480p"),), ratio="1:1"))
    assert merged.order.duration == 7
    assert merged.order.camera_fixed is False
    assert merged.order.resolution == "480p"
    assert merged.order.ratio == "1:1"
    assert merged.plain == "a cat and a dog"
    assert merged.origins["resolution"] == ("content[0].text", "--rs 480p")


def test_the_text_that_is_sent_keeps_its_flags() -> None:
    assert merge(Order(MODEL, "a cat --dur 7")).order.prompt == "a cat --dur 7"


def test_a_flag_equal_to_its_field_is_fine() -> None:
    merged = merge(Order(MODEL, "a cat --dur 7 --wm false", duration=7, watermark=False))
    assert merged.faults == ()
    assert merged.origins == {}


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (Order(MODEL, "a cat --dur 7", duration=5), "--dur 7 contradicts the field duration (5)"),
        (Order(MODEL, "a cat --cf true", camera_fixed=False), "--cf true contradicts the field camera_fixed (false)"),
        (Order(MODEL, "a cat --rt 1:1", ratio="16:9"), "--rt 1:1 contradicts the field ratio (16:9)"),
        (Order(MODEL, "a cat --dur 7 --duration 5"), "--duration 5 contradicts --dur 7"),
    ],
)
def test_a_flag_that_contradicts_names_both(order: Order, words: str) -> None:
    (fault,) = merge(order).faults
    assert fault.field == "prompt"
    assert words in fault.message


def test_two_texts_may_not_contradict_each_other() -> None:
    (fault,) = merge(Order(MODEL, "a cat --seed 1", (Item("text", "a dog --seed 2"),))).faults
    assert fault.field == "content[0].text"
    assert fault.message.startswith("--seed 2 contradicts --seed 1")


def test_the_same_flag_twice_with_the_same_value_is_fine() -> None:
    assert merge(Order(MODEL, "--dur 5 a cat --duration 5")).faults == ()


@given(
    st.lists(
        st.sampled_from([*(f"--{name}" for name in FIELDS), "5", "a", "=", " ", "\n", "--", "true", "猫"]), max_size=12
    ).map("".join)
)
def test_reading_never_raises_and_finds_nothing_in_what_is_left(text: str) -> None:
    reading = read(text)
    assert len(reading.plain) <= len(text)
    assert len(reading.flags) + len(reading.faults) <= text.count("--")
