"""Ark's error codes, read once for every gateway that passes them on: why, and what it means as the answer to a submit.

Document: https://docs.byteplus.com/en/docs/ModelArk/1299023 and https://www.volcengine.com/docs/82379/1299023 (error codes).
The first line that fits a code counts, so the narrower stands above the wider.
"""

import re
from fnmatch import fnmatchcase

from service.domain.errors import Category
from service.providers.refusals import Reading, Said, Submit

_BUSY = Reading(Category.TRANSIENT, Submit.BUSY)
_PARAMETERS = Reading(Category.PARAMETERS)
_CREDENTIALS = Reading(Category.CREDENTIALS)
_QUOTA = Reading(Category.QUOTA)
_MODEL = Reading(Category.CREDENTIALS, of_model=True)
_MODEL_QUOTA = Reading(Category.QUOTA, of_model=True)
_INPUT = Reading(Category.INPUT_MODERATION)
_OUTPUT = Reading(Category.OUTPUT_MODERATION)

TABLE: tuple[tuple[str, Reading], ...] = (
    # 400, and as the error of a task that failed
    ("MissingParameter*", _PARAMETERS),
    ("InvalidParameter*", _PARAMETERS),
    ("InvalidImageURL*", _PARAMETERS),
    ("InvalidAction.*", _PARAMETERS),
    ("InvalidEndpoint.ClosedEndpoint", _MODEL),
    ("InvalidSubscription", _CREDENTIALS),
    ("*.PrivacyInformation", Reading(Category.PRIVACY)),
    ("Output*SensitiveContentDetected*", _OUTPUT),
    ("Output*RiskDetection*", _OUTPUT),
    ("Input*SensitiveContentDetected*", _INPUT),
    ("Input*RiskDetection*", _INPUT),
    ("SensitiveContentDetected*", _INPUT),
    ("ContentSecurityDetectionError", _INPUT),
    # 401, 403
    ("AuthenticationError", _CREDENTIALS),
    ("InvalidAccountStatus", _CREDENTIALS),
    ("AccessDenied*", _CREDENTIALS),
    ("AccountOverdueError", _QUOTA),
    ("OperationDenied.ServiceOverdue", _QUOTA),
    ("OperationDenied.FileQuotaExceeded", _QUOTA),
    ("OperationDenied*", _CREDENTIALS),
    # 404. "Does not exist or you have no access": it does not tell which, and another account may have it.
    ("InvalidEndpointOrModel*", _MODEL),
    ("ModelNotOpen", _MODEL),
    ("ResourceNotFound*", _PARAMETERS),
    ("NotFound*", _PARAMETERS),
    # 429
    ("RateLimitExceeded*", _BUSY),
    ("*RateLimitExceeded", _BUSY),
    ("RequestBurstTooFast", _BUSY),
    ("InflightBatchsizeExceeded", _BUSY),
    ("ServerOverloaded", _BUSY),
    ("SetLimitExceeded", _MODEL_QUOTA),  # the account's own spending cap for a model: waiting does not lift it
    ("AccountQuotaExceeded", _QUOTA),
    # 500. A fault on their side says nothing about whether the order was placed.
    ("InternalServiceError", Reading(Category.TRANSIENT, Submit.UNKNOWN)),
)

QUOTA_MESSAGES: tuple[tuple[re.Pattern[str], Reading], ...] = (
    # One code, `QuotaExceeded`, for three things that only the message tells apart.
    (re.compile(r"queue|排队", re.IGNORECASE), _BUSY),  # too many tasks wait there: room comes by itself
    (re.compile(r"free|trial|免费|试用", re.IGNORECASE), _MODEL_QUOTA),  # used up for good, and each model has its own
    # A plan's quota of 5 hours, a week or a month comes back, but long after an order is worth waiting for.
    (re.compile(r"usage quota|\b(hour|week|month)|reset at|套餐", re.IGNORECASE), _QUOTA),
)

_CODE = re.compile(r"[A-Z][A-Za-z]+(?:\.[A-Z][A-Za-z]+)*")


def reading(what: Said) -> Reading | None:
    """By the code; failing that, by a code that the message mentions: gateways wrap Ark's errors in words of their own."""
    found = _by_code(what.code, what.message)
    if found is None:
        candidates = (_by_code(match.group(), what.message) for match in _CODE.finditer(what.message))
        found = next((each for each in candidates if each), None)
    return found


def _by_code(code: str, message: str) -> Reading | None:
    if code == "QuotaExceeded":
        # In words nobody knows it is taken for a full queue: to wait and ask again costs nothing.
        return next((meaning for pattern, meaning in QUOTA_MESSAGES if pattern.search(message)), _BUSY)
    return next((meaning for pattern, meaning in TABLE if fnmatchcase(code, pattern)), None)
