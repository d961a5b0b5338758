"""What an answer that is not a success means, for a submit and for a question: one decision for all gateways.

A submit costs money, so only a definite no is a no. What a gateway's words mean is the gateway's to say (`Words`); the
statuses mean what HTTP says they mean.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from service.domain.errors import Category, TaskError
from service.domain.report import Busy, Missing, NoAnswer, Refused, Rejected, SubmitOutcome, Unknown, Unreadable
from service.providers import read
from service.wire import Reply, retry_after_s


class Submit(StrEnum):
    """What an error means when it is the answer to a submit."""

    REJECTED = "rejected"
    BUSY = "busy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Said:
    """An error in the gateway's own words."""

    code: str
    """Empty: it named none."""
    message: str
    status: int = 0
    """Of the answer it came in; 0: it came inside a task."""


@dataclass(frozen=True, slots=True)
class Reading:
    category: Category
    submit: Submit = Submit.REJECTED
    certain: bool = False
    """These words mean it whatever the status of the answer."""
    of_model: bool = False
    """The account is the reason, but for this order's model alone."""


Words = Callable[[Said], Reading | None]
"""A gateway's reading of its own words. None: words nobody knows."""


DECIDED_AT_THE_DOOR = {
    401: Category.CREDENTIALS,
    402: Category.QUOTA,
    403: Category.CREDENTIALS,
    404: Category.CREDENTIALS,
    405: Category.CREDENTIALS,
    413: Category.PARAMETERS,
    414: Category.PARAMETERS,
    415: Category.PARAMETERS,
    431: Category.PARAMETERS,
}
"""Refused before anybody looked at the order, so that the status alone is a definite no. 404 and 405 are about the address or
the model, which are the account's."""

OF_THE_ACCOUNT = frozenset({Category.CREDENTIALS, Category.QUOTA})

MAY_HAVE_BEEN_HEARD = frozenset({408, 409, 425})
"""Besides 5xx: the order may have been placed, by this try or by one before it."""


def said(raw: object, status: int = 0) -> Said | None:
    """The shapes in which errors come, from Ark's own to those of the proxies in front of it."""
    match raw:
        case {"error": {"code": str() | int() as code, **rest}} if code:
            return _said(code, rest.get("message"), status)
        case {"error": {"message": message, **rest}}:
            return _said(rest.get("type"), message, status)
        case {"error": str() as message}:
            return _said(None, message, status)
        case {"ResponseMetadata": {"Error": {"Code": code, **rest}}}:  # Volcengine's own gateway, before Ark
            return _said(code, rest.get("Message"), status)
        case {"code": code, "message": str() as message} | {"statusCode": code, "message": str() as message}:
            return _said(code, message, status)
    return None


def _said(code: object, message: object, status: int) -> Said | None:
    code = str(code) if isinstance(code, int) and abs(code) < read.WHOLE_LIMIT else code
    known = Said(read.words(code, read.CODE_LIMIT) or "", read.words(message, read.MESSAGE_LIMIT) or "", status)
    return known if known.code or known.message else None


def task_error(error: object, words: Words) -> TaskError:
    """The `error` of a task that failed."""
    what = said({"error": error})
    if what is None:
        return TaskError("unknown", "The provider gave no reason.", Category.UNKNOWN)
    reading = words(what)
    message = what.message or "The provider gave no message."
    return TaskError(what.code or "unknown", message, reading.category if reading else Category.UNKNOWN)


def submit(reply: Reply, words: Words, now: int) -> SubmitOutcome:
    """For an answer without a task's id in it."""
    what = said(read.parsed(reply.body), reply.status)
    reading = words(what) if what else None
    reason = _reason(reply, what)
    if reading is None or not reading.certain:
        if not 400 <= reply.status < 500 or reply.status in MAY_HAVE_BEEN_HEARD:
            return Unknown(reason)
        if reading is None and reply.status == 429:
            return Busy(reason, retry_after_s(reply.headers, now))
        if what is None and reply.status not in DECIDED_AT_THE_DOOR:
            return Unknown(reason)
    match reading.submit if reading else Submit.REJECTED:
        case Submit.BUSY:
            return Busy(reason, retry_after_s(reply.headers, now))
        case Submit.UNKNOWN:
            return Unknown(reason)
        case Submit.REJECTED:
            # A 404 or a 405 in words nobody knows may be about the model as well as about the address.
            of_model = reading.of_model if reading else reply.status in (404, 405)
            return Rejected(_error(reply, what, reading), of_model)


def query(reply: Reply, words: Words, now: int) -> Missing | Busy | NoAnswer | Refused | Unreadable:
    """For an answer that is not a 2xx. Nothing here says anything about the task."""
    what = said(read.parsed(reply.body), reply.status)
    reading = words(what) if what else None
    reason = _reason(reply, what)
    match reply.status:
        case _ if reading is not None and reading.certain and reading.category in OF_THE_ACCOUNT:
            return Refused(_error(reply, what, reading))
        case 401 | 402 | 403:
            return Refused(_error(reply, what, reading))
        case 429:
            return Busy(reason, retry_after_s(reply.headers, now))
        case status if status >= 500 or status in MAY_HAVE_BEEN_HEARD:
            return NoAnswer(reason)
        case 404:
            return Missing(reason)
        case _ if reading is not None and reading.category in OF_THE_ACCOUNT:
            return Refused(_error(reply, what, reading))
        case _:
            return Unreadable(reason)


def _reason(reply: Reply, what: Said | None) -> str:
    if what is None:
        return f"answered {reply.status} with no word that can be read"
    return f"answered {reply.status}: {' '.join(filter(None, (what.code, what.message)))}"


def _error(reply: Reply, what: Said | None, reading: Reading | None) -> TaskError:
    category = reading.category if reading else DECIDED_AT_THE_DOOR.get(reply.status, Category.PARAMETERS)
    code = (what.code if what else "") or f"http_{reply.status}"
    return TaskError(code, (what.message if what else "") or f"The provider answered {reply.status}.", category)
