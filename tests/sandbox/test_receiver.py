"""The demo subscriber believes only what the holder of its secret signed."""

import time

import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from service.sandbox.receiver import NAMES, NOTICES, Receiver, refusal
from tests.sandbox.conftest import Live, Start

pytestmark = pytest.mark.anyio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLISHED = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
BODY = b'{"test": 2432232314}'
THEN_S = 1_614_265_330.0


def test_the_published_vectors_are_accepted() -> None:
    assert refusal(SECRET, PUBLISHED, BODY, THEN_S) is None
    second = {"webhook-id": "msg_loFOjxBNrRLzqYUf", "webhook-timestamp": "1731705121"}
    second["webhook-signature"] = "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
    body = b'{"event_type":"ping","data":{"success":true}}'
    assert refusal("whsec_plJ3nmyCDGBKInavdOK15jsl", second, body, 1_731_705_121.0) is None


@pytest.mark.parametrize(
    ("change", "now_s", "reason"),
    [
        ({"webhook-id": "msg_other"}, THEN_S, "no signature"),
        ({"webhook-id": ""}, THEN_S, "missing"),
        ({"webhook-timestamp": "1614265331"}, THEN_S, "no signature"),
        ({"webhook-timestamp": "soon"}, THEN_S, "no number"),
        ({"webhook-signature": ""}, THEN_S, "missing"),
        ({"webhook-signature": "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, THEN_S, "no signature"),
        ({"webhook-signature": "v1, v1,, ,x \u00e9"}, THEN_S, "no signature"),
        ({}, THEN_S + 301, "too far"),
        ({}, THEN_S - 301, "too far"),
    ],
)
def test_anything_else_is_refused_with_its_reason(change: dict[str, str], now_s: float, reason: str) -> None:
    assert reason in str(refusal(SECRET, PUBLISHED | change, BODY, now_s))


def test_a_changed_body_and_a_foreign_secret_are_refused() -> None:
    assert refusal(SECRET, PUBLISHED, BODY + b" ", THEN_S) is not None
    assert refusal("whsec_plJ3nmyCDGBKInavdOK15jsl", PUBLISHED, BODY, THEN_S) is not None


def test_during_a_rotation_one_good_signature_is_enough() -> None:
    both = {"webhook-signature": "v1,AAAA v2,x " + PUBLISHED["webhook-signature"]}
    assert refusal(SECRET, PUBLISHED | both, BODY, THEN_S) is None


def test_names_and_notices_are_bounded() -> None:
    receiver = Receiver(time.time, None)
    for number in range(NAMES + 1):
        receiver.inbox(str(number))
    assert len(receiver._inboxes) == NAMES
    assert receiver.inbox("1").notices.maxlen == NOTICES


async def test_what_an_independent_library_signed_is_verified_kept_and_said(start: Start) -> None:
    live = await start(print=True)
    url = f"{live.root}/sandbox/receiver/me"
    assert (await live.http.put(url, json={"secret": SECRET})).status_code == 204
    body = orjson.dumps({"type": "task.succeeded", "data": {"sequence": 3, "task": {"id": "task_1"}}}).decode()
    headers = signed(live, body)
    assert (await live.http.post(url, content=body, headers=headers)).status_code == 204
    assert (await live.http.post(url, content=body, headers=headers)).status_code == 204
    assert (await live.http.post(url, content=body + " ", headers=headers)).status_code == 401
    shown = (await live.http.get(url)).json()
    assert [notice["verified"] for notice in shown["notices"]] == [True, True, False]
    assert [notice["repeated"] for notice in shown["notices"]] == [False, True, True]
    assert shown["notices"][0]["body"]["type"] == "task.succeeded"
    assert live.said[0] == "me: task.succeeded #3 task_1 (signature verified)"
    assert "NOT VERIFIED: no signature matches" in live.said[2]
    assert SECRET not in str(shown) + str(live.said)
    await live.http.delete(url)
    assert (await live.http.get(url)).json() == {"count": 0, "notices": []}


def signed(live: Live, body: str) -> dict[str, str]:
    at = live.clock.datetime
    signature = Webhook(SECRET).sign("msg_1", at, body)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


async def test_without_a_secret_everything_is_kept_and_nothing_is_called_verified(live: Live) -> None:
    url = f"{live.root}/sandbox/receiver/stranger"
    assert (await live.http.post(url, content=b"not json")).status_code == 204
    (notice,) = (await live.http.get(url)).json()["notices"]
    assert (notice["verified"], notice["body"]) == (None, None)
    assert live.said == []


@pytest.mark.parametrize("secret", ["whsec_", "whsk_AAAA", "x", "whsec_&&", 7])
async def test_what_is_no_secret_is_not_registered(live: Live, secret: object) -> None:
    assert (await live.http.put(f"{live.root}/sandbox/receiver/me", json={"secret": secret})).status_code == 400


@pytest.mark.parametrize(
    ("query", "status", "retry_after"),
    [
        ("status=500", 500, None),
        ("status=410", 410, None),
        ("retry_after=7", 503, "7"),
        ("status=429&retry_after=1.5", 429, "1.5"),
        ("hang=0.05", 204, None),
        ("status=9000&hang=x&retry_after=-1", 503, None),
    ],
)
async def test_it_answers_badly_when_the_address_says_so(live: Live, query: str, status: int, retry_after: str | None) -> None:
    answer = await live.http.post(f"{live.root}/sandbox/receiver/me?{query}", json={})
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)


async def test_a_notice_that_is_too_large_is_refused(live: Live) -> None:
    assert (await live.http.post(f"{live.root}/sandbox/receiver/me", content=b"x" * 300_000)).status_code == 413
