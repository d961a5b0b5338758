from service.channels.card import card, headline, link, spell, tidy
from tests.channels.samples import NOW, notice, operational, task


def test_a_card_tells_what_was_asked_what_came_and_how_long_it_took() -> None:
    told = card(notice())
    assert (told.title, told.asked) == ("Video ready", "A cat walks over a piano")
    assert dict(told.facts) == {
        "Model": "seedance-1-0-pro-250528",
        "Provider": "apiyi",
        "Size": "1080p · 16:9 · 6 s",
        "Time": "took 2 min 0 s",
        "Tokens": "295,800",
    }
    assert told.video_url == "https://cdn.example.com/v.mp4?sig=abc"
    assert told.trouble == ""


def test_waiting_and_running_are_told_apart_when_the_start_is_known() -> None:
    told = card(notice(task(started_at="2026-11-20T22:31:12.000Z")))
    assert dict(told.facts)["Time"] == "waited 12 s, ran 1 min 48 s"


def test_a_failure_comes_with_its_category_and_what_to_do() -> None:
    error = {"code": "x", "message": "refused", "category": "input_moderation", "suggestion": "Change the prompt."}
    told = card(notice(task(state="failed", result=None, error=error)))
    assert (told.trouble, told.advice) == ("input moderation: refused", "Change the prompt.")
    assert told.video_url is None


def test_an_order_given_as_content_shows_its_texts() -> None:
    content = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, {"type": "text", "text": "a dog"}]
    assert card(notice(task(order={"content": content}))).asked == "a dog"


def test_an_operational_notice_shows_its_plain_facts() -> None:
    told = card(operational(reason="answered 410", failed_count=7, nested={"not": "shown"}, task=task()))
    assert told.title == "Subscription disabled"
    assert told.facts == (("Reason", "answered 410"), ("Failed count", "7"))
    assert told.name == task()["id"]


def test_a_body_that_nobody_can_read_still_makes_a_card() -> None:
    broken = notice()
    assert card(type(broken)(broken.id, "task.succeeded", NOW, b"{")).title == "Video ready"
    assert card(type(broken)(broken.id, "task.succeeded", NOW, b"[1]")).title == "Video ready"


def test_tidy_text_is_one_line_and_hides_nothing() -> None:
    assert tidy("a\n\t b\u0000\u202e\u200bc", 10) == "a bc"
    assert tidy("\u200b \u2066", 10) == ""
    assert tidy("x" * 11, 10) == "x" * 9 + "…"
    assert tidy("👩\u200d🚀", 10) == "👩\u200d🚀"


def test_only_plain_web_addresses_become_buttons() -> None:
    assert link("https://cdn.example.com/v.mp4?a=b&c=%20d") is not None
    for bad in (
        "javascript:alert(1)",
        "https://",
        "ftp://a/b",
        "https://a/b c",
        "https://a/<x>",
        "https://[::1",
        "https://a/" + "x" * 2000,
        5,
    ):
        assert link(bad) is None


def test_durations_are_spelled_for_people() -> None:
    assert [spell(ms) for ms in (-5, 999, 61_000, 3_661_000)] == ["0 s", "0 s", "1 min 1 s", "1 h 1 min"]


def test_a_headline_counts() -> None:
    cards = [card(notice()), card(notice()), card(notice(task(state="failed")))]
    assert headline(cards) == "3 notices: 2 succeeded, 1 failed"
