"""Why a task did not succeed, in one vocabulary for all gateways; and the errors of ours, grouped by who must act."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    INPUT_MODERATION = "input_moderation"
    OUTPUT_MODERATION = "output_moderation"
    PRIVACY = "privacy"
    QUOTA = "quota"
    PARAMETERS = "parameters"
    CREDENTIALS = "credentials"
    TRANSIENT = "transient"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Advice:
    """What a category means to the one who has to act."""

    retryable: bool
    billed: bool | None
    """None: not documented."""
    suggestion: str


ADVICE: dict[Category, Advice] = {
    Category.INPUT_MODERATION: Advice(False, False, "Change the prompt or the media: the input filter refused them."),
    Category.OUTPUT_MODERATION: Advice(True, False, "Try another seed or soften the prompt: the filter refused what was made."),
    Category.PRIVACY: Advice(False, False, "Remove pictures of real people: this model refuses them."),
    Category.QUOTA: Advice(True, False, "Top up or raise the account's limits at the provider, then order again."),
    Category.PARAMETERS: Advice(False, False, "Correct the order: the provider names the field in the message."),
    Category.CREDENTIALS: Advice(False, False, "An operator has to check the account, its key and the models it may use."),
    Category.TRANSIENT: Advice(True, False, "Order again: the provider had a passing fault."),
    Category.EXPIRED: Advice(True, False, "Order again, or allow more time with execution_expires_after."),
    Category.CANCELLED: Advice(False, False, "Cancelled on request; nothing to do."),
    Category.UNKNOWN: Advice(False, None, "Look at the provider's message; nothing more is known."),
}


@dataclass(frozen=True, slots=True)
class TaskError:
    """`code` and `message` are the provider's words; the category is our reading of them."""

    code: str
    message: str
    category: Category

    def as_dict(self) -> dict[str, object]:
        advice = ADVICE[self.category]
        return {
            "code": self.code,
            "message": self.message,
            "category": str(self.category),
            "retryable": advice.retryable,
            "billed": advice.billed,
            "suggestion": advice.suggestion,
        }


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with what a caller sent."""

    field: str
    """Path of the field, e.g. `content[1].role`."""
    message: str
    """What is wrong and what would be right."""


class CallerError(Exception):
    """The caller has to act. `web/` turns it into a 4xx; `kind` is the stable end of the problem's type."""

    kind = "bad-request"

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.faults = tuple(faults)


class BadOrder(CallerError):
    kind = "invalid"


class NotFound(CallerError):
    kind = "not-found"


class Conflict(CallerError):
    kind = "conflict"


class KeyReused(CallerError):
    """The same Idempotency-Key with another body."""

    kind = "idempotency-key-reused"


class ConfigError(Exception):
    """The operator has to act: every wrong setting at once, by the variable's name."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{f.field}: {f.message}" for f in faults))
        self.faults = tuple(faults)


class KeyMissing(ConfigError):
    """What is sealed stays closed to this process. Nothing of it is lost: the operator has to put a key back."""

    def __init__(self, what: str = "what is stored") -> None:
        message = f"no key opens {what}; put back the key that sealed it"
        super().__init__([Fault("CALLSHEET_ENCRYPTION_KEYS", message)])


class Unavailable(Exception):
    """Our own trouble (disk full, database away, too much at once): nothing was stored, come again."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
