"""AgentsFlare: BytePlus' wire, unchanged, under another address and key.

Document: its page "Seedance API Examples". The other way it shows there, `POST /v1/videos/generations`, answers with the
finished video; it is not used, because a request that lasts minutes cannot be told from a lost one.
"""

from service.providers.ark import ArkDialect
from service.providers.base import Callbacks, Facts

AGENTSFLARE = ArkDialect(
    "agentsflare",
    # `/byteplus/v3`, not `/api/v3` as everywhere else.
    "https://api.agentsflare.com/byteplus/v3",
    Facts(
        callbacks=Callbacks.NONE,
        typical_s=90,
        verified=(
            "create and query, and the body of a task that succeeded, are BytePlus' own",
            "the models it serves, from 1.0 lite to 2.0 fast",
        ),
        unverified=(
            "callback_url: bodies are Ark's, so it may be passed on; not asked for unless the account says so",
            "errors: read as Ark's, and by the status of the answer",
            "list and delete: not used, so it is asked one task at a time and cancels nothing",
            "its limits: 5 queries a second are assumed",
        ),
    ),
)
