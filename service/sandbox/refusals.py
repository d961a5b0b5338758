"""How the simulated gateways say no: one exception inside, each dialect's own shape outside.

Codes are Ark's, because all gateways stand in front of it; the HTTP status follows from the code.
"""

_STATUSES = {
    "AuthenticationError": 401,
    "InvalidAccountStatus": 401,
    "AccessDenied": 403,
    "AccountOverdueError": 403,
    "OperationDenied": 403,
    "InvalidEndpointOrModel": 404,
    "ModelNotOpen": 404,
    "NotFound": 404,
    "ResourceNotFound": 404,
    "InvalidAction": 409,
    "RateLimitExceeded": 429,
    "ModelAccountRpmRateLimitExceeded": 429,
    "ModelAccountTpmRateLimitExceeded": 429,
    "ModelAccountIpmRateLimitExceeded": 429,
    "APIAccountRpmRateLimitExceeded": 429,
    "AccountRateLimitExceeded": 429,
    "RequestBurstTooFast": 429,
    "InflightBatchsizeExceeded": 429,
    "ServerOverloaded": 429,
    "QuotaExceeded": 429,
    "SetLimitExceeded": 429,
    "InternalServiceError": 500,
}
"""By the part of the code before the first dot; everything else is a 400."""

_SENTENCES = {
    "OutputVideoSensitiveContentDetected": "The request failed because the output video may contain sensitive information.",
    "InputTextSensitiveContentDetected": "The request failed because the input text may contain sensitive information.",
    "InputImageSensitiveContentDetected": "The request failed because the input image may contain sensitive information.",
    "InternalServiceError": "The service encountered an unexpected internal error.",
    "AccountOverdueError": "The request failed because your account has an overdue balance.",
    "QuotaExceeded": "The request failed because the number of your queued tasks exceeded the limit, please retry later.",
    "SetLimitExceeded": "The request failed because the spending limit that you set was reached.",
}


class Refusal(Exception):
    def __init__(self, code: str, message: str | None = None, param: str = "", retry_after_s: int | None = None) -> None:
        self.code = code
        self.message = sentence(code) if message is None else message
        self.param = param
        self.retry_after_s = retry_after_s
        self.status = _STATUSES.get(code.partition(".")[0], 400)
        super().__init__(self.message)

    @property
    def moderation(self) -> bool:
        return moderates(self.code)


class Silence(Exception):
    """The order was taken, and nobody will hear about it on this connection."""

    def __init__(self, seconds: float) -> None:
        super().__init__("taken, then silent")
        self.seconds = seconds


def sentence(code: str) -> str:
    """What the gateway says beside a code. Only the first one is recorded from the real thing."""
    return _SENTENCES.get(code.partition(".")[0], f"The request failed: {code}.")


def moderates(code: str) -> bool:
    """APIYI marks what the filters behind it refuse with PUBLIC_."""
    return "SensitiveContent" in code or "RiskDetection" in code or "ContentSecurity" in code or code.startswith("PUBLIC_")


def invalid(param: str, why: str, code: str = "InvalidParameter") -> Refusal:
    return Refusal(code, f"the parameter {param} specified in the request {why}", param)


def missing(param: str) -> Refusal:
    return Refusal("MissingParameter", f"the request is missing the required parameter {param}", param)
