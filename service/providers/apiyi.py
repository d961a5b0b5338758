"""APIYI: Ark's wire for the 2.0 models, behind a proxy that sells by groups of models.

Document: https://docs.apiyi.com (Seedance 2.0 video generation API reference).
"""

import re
from collections.abc import Sequence

from service.domain.errors import Category, Fault
from service.domain.flags import merge
from service.domain.order import Order
from service.providers import ark_errors, compose
from service.providers.ark import ArkDialect
from service.providers.base import Account, Callbacks, Facts
from service.providers.refusals import Reading, Said

CAN_SAY = frozenset(
    {"resolution", "ratio", "duration", "generate_audio", "watermark", "seed", "return_last_frame", "execution_expires_after"}
)
"""Its table of parameters. `frames`, `camera_fixed` and `service_tier` are "ignored or rejected" there: refused here."""

# The token lacks the group that serves the model (SeeDance2, SD2Fast, SD2Mini). No order for it from this account succeeds.
_GROUP = re.compile(r"no available channel", re.IGNORECASE)
_MONEY = re.compile(r"quota|balance|余额|额度", re.IGNORECASE)
_MODERATED = re.compile(r"\bPUBLIC_\w+")


def reading(what: Said) -> Reading | None:
    both = f"{what.code} {what.message}"
    if _GROUP.search(both):
        # Said before anything is passed on, whatever the status: such proxies use 503 for it.
        return Reading(Category.CREDENTIALS, certain=True, of_model=True)
    if found := _MODERATED.search(both):
        # The upstream filter, not billed. A filter of what was made says so; all others refuse what was sent.
        return Reading(Category.OUTPUT_MODERATION if "OUTPUT" in found.group() else Category.INPUT_MODERATION, certain=True)
    if known := ark_errors.reading(what):
        return known
    if what.status == 403:
        # 403 is moderation in its table. The proxy's own 403, an account without money, is told by its words.
        return Reading(Category.QUOTA if _MONEY.search(both) else Category.INPUT_MODERATION)
    return None


def limits(order: Order, account: Account) -> Sequence[Fault]:
    faults = compose.unsaid(order, "apiyi", CAN_SAY)
    merged = merge(order)
    if (merged.order.resolution or "").lower() == "4k":
        faults.append(merged.locate(Fault("resolution", "apiyi makes 480p, 720p and 1080p, no 4k.")))
    return faults


APIYI = ArkDialect(
    "apiyi",
    "https://api.apiyi.com/seedance/api/v3",
    Facts(
        callbacks=Callbacks.NONE,
        asks_per_s=2.0,
        submit_timeout_s=120.0,  # its page: creating with media is slow, allow a minute at the least
        typical_s=30,  # its page: look after 20 to 30 s, then every 10 to 30 s
        verified=(
            "create and query are Ark's; no list, no cancel, no delete",
            "frames, camera_fixed, service_tier and 4k are not served: refused",
            "the token needs the group SeeDance2, or it answers 'no available channel': shown as a fault of the account",
            "moderated orders are not billed",
            "answers may be labelled gzip and be plain: the label is not believed, the first bytes are",
        ),
        unverified=(
            "callback_url: not documented; not asked for unless the account says so",
            "fields its table leaves out (priority, tools, safety_identifier, draft…): refused, not sent on a guess",
            "its limits: 2 queries a second are assumed",
        ),
    ),
    words=reading,
    limits=limits,
    # Its proxy labels plain bodies as gzip; without this, clients that believe the label fail on every answer.
    headers={"accept-encoding": "identity"},
)
