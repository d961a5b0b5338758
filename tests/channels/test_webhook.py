import time

import httpx
import openai
import pytest
import standardwebhooks
import svix.webhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings

from service.channels.base import USER_AGENT, Notice, Target
from service.channels.headers import allowed, check_headers
from service.channels.webhook import Webhook
from service.domain.delivery import Failed, Gone, Outcome, Throttled, Told
from service.signing import _decode, new_keypair, new_secret
from tests.channels.samples import HOSTILE, NOW, TARGET, notice, operational, reply, said

WEBHOOK = Webhook()
OPENAI = openai.OpenAI(api_key="none", base_url="http://127.0.0.1:9/")


def assert_others_verify(request: httpx.Request, secret: str) -> None:
    headers = dict(request.headers)
    standardwebhooks.Webhook(secret).verify(request.content, headers)
    svix.webhooks.Webhook(secret).verify(request.content, headers)
    OPENAI.webhooks.verify_signature(request.content, headers, secret=secret)


@settings(max_examples=100, deadline=None)
@given(HOSTILE)
def test_libraries_we_did_not_write_verify_every_payload(one: Notice) -> None:
    now = int(time.time() * 1000)
    for payload in ("full", "thin", "cloudevents"):
        target = Target("https://example.com/hook", TARGET.secrets, options={"payload": payload})
        assert_others_verify(WEBHOOK.compose([one], target, now).request(), TARGET.secrets[0])


def test_during_a_rotation_both_secrets_and_the_public_key_verify() -> None:
    old, new = new_secret(), new_secret()
    private, public = new_keypair()
    request = WEBHOOK.compose(
        [notice()], Target("https://example.com/hook", (old, new, private)), int(time.time() * 1000)
    ).request()
    assert_others_verify(request, old)
    assert_others_verify(request, new)
    *_, asymmetric = request.headers["webhook-signature"].split(" ")
    version, signature = asymmetric.split(",")
    assert version == "v1a"
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.content
    Ed25519PublicKey.from_public_bytes(_decode(public, "whpk_")).verify(_decode(signature, ""), content)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(new_secret()).verify(request.content, dict(request.headers))


def test_an_attempt_is_the_stored_body_with_a_new_time() -> None:
    one = notice()
    first, second = (WEBHOOK.compose([one], TARGET, at).request() for at in (NOW, NOW + 300_000))
    assert first.content == second.content == one.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == one.id
    assert (first.headers["webhook-timestamp"], second.headers["webhook-timestamp"]) == (
        str(NOW // 1000),
        str(NOW // 1000 + 300),
    )
    assert first.headers["content-type"] == "application/json"
    assert first.headers["content-length"] == str(len(one.body))
    assert first.headers["user-agent"] == USER_AGENT
    assert (first.method, first.headers["host"]) == ("POST", "example.com")


def test_a_thin_payload_says_what_to_look_up_and_where() -> None:
    target = Target("https://example.com/hook", TARGET.secrets, options={"payload": "thin"})
    assert said(WEBHOOK.compose([notice()], target, NOW).request()) == {
        "type": "task.succeeded",
        "timestamp": "2026-11-20T22:33:00.000Z",
        "data": {
            "task": {
                "id": "task_0d3kx9v2m4q7r",
                "state": "succeeded",
                "url": "https://callsheet.example.com/v1/tasks/task_0d3kx9v2m4q7r",
            }
        },
    }
    plain = operational(reason="answered 410")
    assert WEBHOOK.compose([plain], target, NOW).request().content == plain.body


def test_a_cloudevent_carries_the_same_data() -> None:
    target = Target("https://example.com/hook", TARGET.secrets, options={"payload": "cloudevents"})
    one = notice()
    request = WEBHOOK.compose([one], target, NOW).request()
    event = said(request)
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert event.pop("data") == said(WEBHOOK.compose([one], TARGET, NOW).request())["data"]
    assert event == {
        "specversion": "1.0",
        "id": one.id,
        "source": "/callsheet",
        "type": "task.succeeded",
        "time": "2026-11-20T22:33:00.000Z",
        "subject": "task_0d3kx9v2m4q7r",
        "datacontenttype": "application/json",
    }
    assert "subject" not in said(WEBHOOK.compose([operational(reason="x")], target, NOW).request())


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (200, {}, Told()),
        (204, {}, Told()),
        (299, {}, Told()),
        (301, {}, Failed("answered 301: a redirect is not followed, correct the address", "301")),
        (304, {}, Failed("answered 304: a redirect is not followed, correct the address", "304")),
        (400, {}, Failed("answered 400", "400")),
        (404, {}, Failed("answered 404", "404")),
        (410, {}, Gone("answered 410: the subscriber wants no more")),
        (429, {"retry_after": "7"}, Throttled("answered 429", 7.0)),
        (429, {"retry_after": "Fri, 20 Nov 2026 22:34:20 GMT"}, Throttled("answered 429", 59.877)),
        (429, {"retry_after": "soon"}, Throttled("answered 429", None)),
        (500, {"retry_after": "7"}, Failed("answered 500", "500")),
        (502, {}, Throttled("answered 502", None)),
        (503, {}, Failed("answered 503", "503")),
        (503, {"retry_after": "7"}, Throttled("answered 503", 7.0)),
        (504, {"retry_after": "90"}, Throttled("answered 504", 90.0)),
    ],
)
def test_only_2xx_is_success(status: int, headers: dict[str, str], outcome: Outcome) -> None:
    match WEBHOOK.read(reply(status, b"", **headers), NOW), outcome:
        case Throttled(reason, float(pause_s)), Throttled(expected, float(expected_s)):
            assert reason == expected
            assert pause_s == pytest.approx(expected_s)
        case read, _:
            assert read == outcome


def test_custom_headers_are_sent_and_never_replace_ours() -> None:
    custom = {
        "Authorization": "Bearer t0ken",
        "Webhook-Id": "mine",
        "Host": "evil.example",
        "X-A": "a\r\nX-B: b",
        "Content-Length": "3",
    }
    request = WEBHOOK.compose([notice()], Target("https://example.com/hook", TARGET.secrets, custom), NOW).request()
    assert request.headers["authorization"] == "Bearer t0ken"
    assert request.headers["webhook-id"] == notice().id
    assert request.headers["host"] == "example.com"
    assert "x-a" not in request.headers
    assert "x-b" not in request.headers
    assert len(request.headers.get_list("content-length")) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-signature", "v1,x"),
        ("Content-Type", "text/plain"),
        ("TRANSFER-ENCODING", "chunked"),
        ("X A", "a"),
        ("", "a"),
        ("x" * 65, "a"),
        ("X-Ä", "a"),
        ("X-A", "s3cr3t\nX-B: b"),
        ("X-A", " s3cr3t"),
        ("X-A", "s3cr3t\x00"),
        ("X-A", "s3cr3tä"),
        ("X-A", "s3cr3t" * 200),
    ],
)
def test_headers_are_checked_before_they_are_saved_and_values_not_repeated(name: str, value: str) -> None:
    (fault,) = check_headers({name: value})
    assert fault.field == f"headers.{name[:64]}"
    assert "s3cr3t" not in fault.message
    assert list(allowed({name: value})) == []


def test_headers_are_bounded_and_named_once() -> None:
    assert check_headers({f"X-{n}": "a" for n in range(20)}) == []
    assert [f.field for f in check_headers({f"X-{n}": "a" for n in range(21)})] == ["headers"]
    assert [f.field for f in check_headers({"X-A": "a", "x-a": "b"})] == ["headers.x-a"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/x",
        "example.com/x",
        "https:///x",
        "https://example.com:0/x",
        "https://example.com:99999/x",
        "https://user:pass@example.com/x",
        "https://token@example.com/x",
        "https://example.com/a b",
        "https://example.com/\nHost: evil.example",
        "https://[::1/x",
        "https://example.com/x#fragment",
        "https://example.com/" + "x" * 2_048,
        "",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_when_saved(url: str) -> None:
    assert [fault.field for fault in WEBHOOK.check(url, {})] == ["target"]


def test_good_addresses_and_options_are_taken() -> None:
    assert WEBHOOK.check("https://example.com/hook?key=a%20b", {"payload": "thin"}) == []
    assert WEBHOOK.check("http://127.0.0.1:8000/hook", {}) == []
    assert WEBHOOK.check("https://bücher.example/hook", {}) == []
    assert [f.field for f in WEBHOOK.check("https://example.com/", {"payload": "fat", "host": "x"})] == [
        "options.host",
        "options.payload",
    ]


def test_people_see_an_address_without_its_secrets() -> None:
    assert WEBHOOK.display("https://u:s3cr3t@example.com:8443/a/b?key=s3cr3t&v=1#s") == "https://example.com:8443/a/b?key=…&v=…"
    assert WEBHOOK.display("https://example.com/a") == "https://example.com/a"
    assert WEBHOOK.display("https://example.com/a?s3cr3t&k=s3cr3t") == "https://example.com/a?…&k=…"
    assert WEBHOOK.display("nonsense s3cr3t") == "…"


def test_neither_address_nor_secret_nor_header_shows_in_a_repr() -> None:
    target = Target("https://example.com/s3cr3t", ("whsec_s3cr3t",), {"Authorization": "s3cr3t"})
    assert "s3cr3t" not in repr(target)
    assert "piano" not in repr(notice())
    assert repr(WEBHOOK.compose([notice()], TARGET, NOW)) == "Post(…)"
