"""Ark's words, and what they mean to the one who has to act."""

import orjson
import pytest

from service.domain.errors import Category
from service.domain.report import Accepted, Busy, Rejected, SubmitOutcome, Unknown
from service.providers import ark_errors
from service.providers.ark import ARK
from service.providers.refusals import Said
from service.wire import Reply
from tests.providers.conformance import NOW


def submitted(status: int, code: str, message: str = "") -> SubmitOutcome:
    return ARK.read_submit(Reply(status, {}, orjson.dumps({"error": {"code": code, "message": message}})), NOW)


REJECTED = [
    (400, "MissingParameter", Category.PARAMETERS),
    (400, "MissingParameter.model", Category.PARAMETERS),
    (400, "InvalidParameter", Category.PARAMETERS),
    (400, "InvalidParameter.TaskTypeConstraint", Category.PARAMETERS),
    (400, "InvalidParameter.UnsupportedParameter", Category.PARAMETERS),
    (400, "InvalidImageURL.EmptyURL", Category.PARAMETERS),
    (400, "InvalidEndpoint.ClosedEndpoint", Category.CREDENTIALS),
    (400, "InvalidSubscription", Category.CREDENTIALS),
    (400, "SensitiveContentDetected", Category.INPUT_MODERATION),
    (400, "SensitiveContentDetected.Violence", Category.INPUT_MODERATION),
    (400, "InputTextSensitiveContentDetected", Category.INPUT_MODERATION),
    (400, "InputImageSensitiveContentDetected.PolicyViolation", Category.INPUT_MODERATION),
    (400, "InputImageSensitiveContentDetected.PrivacyInformation", Category.PRIVACY),
    (400, "InputTextRiskDetection", Category.INPUT_MODERATION),
    (400, "OutputVideoSensitiveContentDetected", Category.OUTPUT_MODERATION),
    (400, "OutputVideoSensitiveContentDetected.DeepFake", Category.OUTPUT_MODERATION),
    (400, "OutputAudioRiskDetection", Category.OUTPUT_MODERATION),
    (400, "ContentSecurityDetectionError", Category.INPUT_MODERATION),
    (401, "AuthenticationError", Category.CREDENTIALS),
    (401, "InvalidAccountStatus", Category.CREDENTIALS),
    (403, "AccessDenied", Category.CREDENTIALS),
    (403, "AccountOverdueError", Category.QUOTA),
    (403, "OperationDenied.ServiceOverdue", Category.QUOTA),
    (403, "OperationDenied.FileQuotaExceeded", Category.QUOTA),
    (403, "OperationDenied.ServiceNotOpen", Category.CREDENTIALS),
    (404, "InvalidEndpointOrModel.NotFound", Category.CREDENTIALS),
    (404, "InvalidEndpointOrModel.ModelIDAccessDisabled", Category.CREDENTIALS),
    (404, "ModelNotOpen", Category.CREDENTIALS),
    (404, "ResourceNotFound", Category.PARAMETERS),
    (429, "SetLimitExceeded", Category.QUOTA),
    (400, "SomethingNobodyKnows", Category.PARAMETERS),
    (403, "SomethingNobodyKnows", Category.CREDENTIALS),
]


@pytest.mark.parametrize(("status", "code", "category"), REJECTED, ids=lambda value: str(value))
def test_a_definite_no_is_rejected_with_its_category(status: int, code: str, category: Category) -> None:
    outcome = submitted(status, code, "no")
    assert isinstance(outcome, Rejected)
    assert outcome.error.code == code
    assert outcome.error.category is category
    assert outcome.blames_account == (category in {Category.CREDENTIALS, Category.QUOTA})


MODELS_OWN = {
    "InvalidEndpoint.ClosedEndpoint",
    "InvalidEndpointOrModel.NotFound",
    "InvalidEndpointOrModel.ModelIDAccessDisabled",
    "ModelNotOpen",
    "SetLimitExceeded",
}


@pytest.mark.parametrize(("status", "code"), [(status, code) for status, code, _ in REJECTED], ids=lambda value: str(value))
def test_a_no_about_a_model_is_told_apart_from_one_about_the_account(status: int, code: str) -> None:
    outcome = submitted(status, code, "no")
    assert isinstance(outcome, Rejected)
    assert outcome.of_model == (code in MODELS_OWN)


@pytest.mark.parametrize(
    "code",
    [
        "RateLimitExceeded.EndpointRPMExceeded",
        "RateLimitExceeded.EndpointTPMExceeded",
        "ModelAccountRpmRateLimitExceeded",
        "ModelAccountIpmRateLimitExceeded",
        "APIAccountRpmRateLimitExceeded",
        "AccountRateLimitExceeded",
        "RequestBurstTooFast",
        "InflightBatchsizeExceeded",
        "ServerOverloaded",
        "SomethingNobodyKnows",
    ],
)
def test_a_429_is_busy(code: str) -> None:
    assert isinstance(submitted(429, code), Busy)


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ("The number of queued tasks of this model exceeds the limit.", Busy),
        ("账户排队任务数超过限制", Busy),
        ("The current account has exhausted its free trial quota for the model.", Rejected),
        ("免费试用额度已消耗完毕", Rejected),
        ("You have exceeded the 5-hour usage quota. It will reset at 2026-11-21 02:00:00 +0800 CST.", Rejected),
        ("You have exceeded the weekly limit of your plan.", Rejected),
        ("in words nobody has seen", Busy),
        ("", Busy),
    ],
)
def test_quota_exceeded_means_three_things_by_its_message(message: str, meaning: type) -> None:
    outcome = submitted(429, "QuotaExceeded", message)
    assert type(outcome) is meaning
    if isinstance(outcome, Rejected):
        assert outcome.error.category is Category.QUOTA


@pytest.mark.parametrize("code", ["InternalServiceError", "InvalidParameter", "RateLimitExceeded.X"])
def test_a_5xx_is_unknown_whatever_it_says(code: str) -> None:
    assert isinstance(submitted(500, code), Unknown)


def test_an_internal_error_is_unknown_whatever_its_status() -> None:
    assert isinstance(submitted(400, "InternalServiceError"), Unknown)


def test_a_refused_route_or_key_is_a_no_even_without_a_word() -> None:
    for status in (401, 403, 404):
        outcome = ARK.read_submit(Reply(status, {}, b"<html>"), NOW)
        assert isinstance(outcome, Rejected)
        assert outcome.blames_account


def test_a_code_that_only_the_message_names_is_found() -> None:
    found = ark_errors.reading(Said("", "upstream said: InputImageSensitiveContentDetected.PrivacyInformation (request 1)"))
    assert found is not None
    assert found.category is Category.PRIVACY
    assert ark_errors.reading(Said("", "A Sentence With Capitals.")) is None


def test_the_older_gateways_error_shape_is_read() -> None:
    body = orjson.dumps({"ResponseMetadata": {"RequestId": "1", "Error": {"Code": "AccessDenied", "Message": "no"}}})
    outcome = ARK.read_submit(Reply(403, {}, body), NOW)
    assert isinstance(outcome, Rejected)
    assert outcome.error.code == "AccessDenied"


def test_no_secret_that_a_provider_quotes_gets_into_an_error() -> None:
    message = "invalid callback_url https://us.example/callbacks/ark/tok.en-1 and key sk-abcdef012345, Bearer abc.def"
    outcome = submitted(400, "InvalidParameter", message)
    assert isinstance(outcome, Rejected)
    for secret in ("tok.en-1", "abcdef012345", "abc.def"):
        assert secret not in outcome.error.message
    unknown = submitted(500, "x", message)
    assert isinstance(unknown, Unknown)
    assert "tok.en-1" not in unknown.reason


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    body = b'{"error":{"code":"ServerOverloaded","message":""}}'
    seconds = ARK.read_submit(Reply(429, {"retry-after": "30"}, body), NOW)
    date = ARK.read_submit(Reply(429, {"retry-after": "Fri, 28 Aug 2026 05:08:30 GMT"}, body), 1_787_893_700_000)
    assert isinstance(seconds, Busy)
    assert seconds.retry_after_s == 30
    assert isinstance(date, Busy)
    assert date.retry_after_s == 10


def test_an_id_in_a_success_counts_more_than_what_stands_beside_it() -> None:
    assert ARK.read_submit(Reply(200, {}, b'{"id":"cgt-1","error":null}'), NOW) == Accepted("cgt-1")
