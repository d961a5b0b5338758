"""APIYI: Ark's wire behind a proxy with words of its own."""

import gzip

import orjson
import pytest

from service.domain.errors import Category
from service.domain.lifecycle import State
from service.domain.order import Order
from service.domain.report import Refused, Rejected, Report
from service.providers.apiyi import APIYI
from service.wire import Reply
from tests.providers.conformance import NOW, account, recorded

ACCOUNT = account(APIYI)
ID = "cgt-20260606160057-6bbjd"


def test_answers_are_asked_for_without_compression() -> None:
    for request in (APIYI.submit(ACCOUNT, Order(model="m", prompt="a cat"), None), APIYI.query(ACCOUNT, ID)):
        assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_label_of_a_body_is_not_believed(pack: type[bytes]) -> None:
    reply = Reply(200, {"content-encoding": "gzip"}, pack(recorded("apiyi/succeeded.json")))
    report = APIYI.read_query(reply, ID, NOW)
    assert isinstance(report, Report)
    assert report.state is State.SUCCEEDED


def test_parameters_of_the_first_series_and_4k_are_refused_by_name() -> None:
    order = Order(
        model="m", prompt="a cat --frames 29", camera_fixed=False, service_tier="default", resolution="4k", duration=5
    )
    assert {fault.field for fault in APIYI.refuse(order, ACCOUNT)} == {"prompt", "camera_fixed", "service_tier", "resolution"}


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
@pytest.mark.parametrize(
    "message",
    [
        "no available channel for this model",
        "Current group default has no available channels for model doubao-seedance-2-0-260128",
    ],
)
def test_a_token_without_the_group_is_a_fault_of_the_account(status: int, message: str) -> None:
    reply = Reply(status, {}, orjson.dumps({"error": {"message": message, "type": "new_api_error", "code": ""}}))
    outcome = APIYI.read_submit(reply, NOW)
    assert isinstance(outcome, Rejected)
    assert outcome.error.category is Category.CREDENTIALS
    assert outcome.blames_account
    assert isinstance(APIYI.read_query(reply, ID, NOW), Refused)


@pytest.mark.parametrize(
    ("error", "category"),
    [
        ({"code": "PUBLIC_ERROR_UNSAFE", "message": "refused"}, Category.INPUT_MODERATION),
        ("PUBLIC_ERROR_UNSAFE: refused", Category.INPUT_MODERATION),
        ({"code": "x", "message": "PUBLIC_OUTPUT_FILTERED"}, Category.OUTPUT_MODERATION),
    ],
)
def test_public_words_are_moderation(error: object, category: Category) -> None:
    outcome = APIYI.read_submit(Reply(400, {}, orjson.dumps({"error": error})), NOW)
    assert isinstance(outcome, Rejected)
    assert outcome.error.category is category
    report = APIYI.read_callback(orjson.dumps({"id": ID, "status": "failed", "error": error}))
    assert isinstance(report, Report)
    assert report.error is not None
    assert report.error.category is category


@pytest.mark.parametrize(
    ("message", "category"),
    [
        ("the content was refused", Category.INPUT_MODERATION),
        ("user quota is not enough", Category.QUOTA),
        ("用户额度不足", Category.QUOTA),
    ],
)
def test_a_403_is_moderation_unless_it_speaks_of_money(message: str, category: Category) -> None:
    outcome = APIYI.read_submit(Reply(403, {}, orjson.dumps({"error": {"message": message}})), NOW)
    assert isinstance(outcome, Rejected)
    assert outcome.error.category is category
