"""What every gateway has to read, case by case, from recorded bodies. A new gateway is one line in `SUBJECTS`.

Where a gateway's document shows no body for a case, `Unshown` says so; where it speaks Ark's wire, Ark's recorded body with the
gateway's own id stands in for what it does not show.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from service.domain.order import Order
from service.providers.acedata import ACEDATA
from service.providers.agentsflare import AGENTSFLARE
from service.providers.apiyi import APIYI
from service.providers.ark import ARK, BYTEPLUS, SANDBOX
from service.providers.base import Account, Gateway
from service.providers.pixazo import PIXAZO
from service.providers.yescale import YESCALE
from service.wire import Reply

FIXTURES = Path(__file__).parent.parent / "fixtures"
NOW = 1_787_869_700_000
KEY = "k-very-secret-0123456789"

CASES = (
    "accepted",
    "queued",
    "running",
    "succeeded",
    "failed",
    "expired",
    "cancelled",
    "unreadable",
    "credentials refused",
    "busy",
)


ORDER = Order(model="seedance-1-0-pro-250528", prompt="a cat", resolution="1080p", ratio="16:9", duration=5)


@dataclass(frozen=True)
class Shown:
    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def reply(self) -> Reply:
        return Reply(self.status, self.headers, self.body)


@dataclass(frozen=True)
class Unshown:
    reason: str


@dataclass(frozen=True)
class Subject:
    label: str
    gateway: Gateway
    account: Account
    remote_id: str
    cases: Mapping[str, Shown | Unshown]
    order: Order = ORDER

    @property
    def shown(self) -> dict[str, Shown]:
        return {name: case for name, case in self.cases.items() if isinstance(case, Shown)}


def recorded(path: str) -> bytes:
    return (FIXTURES / path).read_bytes()


def account(gateway: Gateway, **options: str) -> Account:
    return Account(gateway.name, "main", gateway.base_url or "https://gateway.example/api", KEY, options=options)


def _with_id(path: str, remote_id: str) -> bytes:
    return orjson.dumps({**orjson.loads(recorded(path)), "id": remote_id})


def speaks_ark(gateway: Gateway, remote_id: str, own: str | None = None) -> Subject:
    """A gateway on Ark's wire; `own`: the folder with what its own document shows."""
    cases: dict[str, Shown | Unshown] = {
        "accepted": Shown(_with_id("ark/accepted.json", remote_id)),
        "unreadable": Shown(orjson.dumps({"id": remote_id, "status": "succeeded", "content": {}})),
        "credentials refused": Shown(recorded("ark/error_authentication.json"), 401),
        "busy": Shown(
            orjson.dumps(
                {"error": {"code": "ModelAccountRpmRateLimitExceeded", "message": "too many", "type": "TooManyRequests"}}
            ),
            429,
            {"retry-after": "7"},
        ),
    }
    for state in ("queued", "running", "succeeded", "failed", "expired", "cancelled"):
        cases[state] = Shown(_with_id(f"ark/{state}.json", remote_id))
    if own is not None:
        cases |= {name: Shown(recorded(f"{own}/{name}.json")) for name in ("accepted", "succeeded")}
    return Subject(gateway.name, gateway, account(gateway), remote_id, cases)


def _acedata() -> Subject:
    return Subject(
        "acedata",
        ACEDATA,
        account(ACEDATA),
        ACE_ID,
        {
            "accepted": Shown(recorded("acedata/accepted.json")),
            "queued": Shown(orjson.dumps({"_id": "66a", "id": ACE_ID, "created_at": 1768294532.12})),
            "running": Shown(recorded("acedata/retrieve_pending.json")),
            "succeeded": Shown(recorded("acedata/retrieve_succeeded.json")),
            "failed": Shown(orjson.dumps({"id": ACE_ID, "response": orjson.loads(recorded("acedata/callback_failed.json"))})),
            "expired": Unshown("its document names no such ending: a task that took too long is an error of its envelope"),
            "cancelled": Unshown("it has no cancel"),
            "unreadable": Shown(orjson.dumps({"id": ACE_ID, "response": {"success": True, "task_id": ACE_ID}})),
            "credentials refused": Shown(orjson.dumps({"error": {"code": "invalid_token", "message": "no such token"}}), 401),
            "busy": Shown(recorded("acedata/error.json"), 429, {"retry-after": "7"}),
        },
        Order(model="doubao-seedance-1-0-pro-250528", prompt="a cat", resolution="1080p", ratio="16:9", duration=5),
    )


def _pixazo_legacy() -> Subject:
    ark = speaks_ark(PIXAZO, "cgt-20250910201045-sqz6f").cases
    cases = {
        **ark,
        "accepted": Shown(orjson.dumps({"id": "cgt-20250910201045-sqz6f"})),
        "succeeded": Shown(recorded("pixazo/succeeded.json")),
        "credentials refused": Shown(orjson.dumps({"error": "Invalid or missing authentication"}), 401),
        "busy": Shown(orjson.dumps({"error": "Rate limit exceeded, please retry later"}), 429, {"retry-after": "7"}),
    }
    return Subject("pixazo", PIXAZO, account(PIXAZO), "cgt-20250910201045-sqz6f", cases)


def _pixazo_v2() -> Subject:
    said = {"request_id": V2_ID, "model_id": "seedance-2-0", "error": None, "output": None}
    video = {"media_url": ["https://media.example/x.mp4"], "media_type": "video/mp4"}
    return Subject(
        "pixazo (v2)",
        PIXAZO,
        account(PIXAZO, api="v2"),
        V2_ID,
        {
            "accepted": Shown(
                orjson.dumps({"request_id": V2_ID, "status": "QUEUED", "polling_url": "https://x.example/"}), 202
            ),
            "queued": Shown(orjson.dumps({**said, "status": "QUEUED"})),
            "running": Shown(orjson.dumps({**said, "status": "PROCESSING"})),
            "succeeded": Shown(orjson.dumps({**said, "status": "COMPLETED", "output": video})),
            "failed": Shown(
                orjson.dumps({**said, "status": "FAILED", "error": "OutputVideoSensitiveContentDetected: refused"})
            ),
            "expired": Unshown("v2 has QUEUED, PROCESSING, COMPLETED, FAILED and ERROR"),
            "cancelled": Unshown("v2 has QUEUED, PROCESSING, COMPLETED, FAILED and ERROR"),
            "unreadable": Shown(orjson.dumps({**said, "status": "COMPLETED"})),
            "credentials refused": Shown(orjson.dumps({"error": "Invalid or missing authentication"}), 401),
            "busy": Shown(orjson.dumps({"error": "Rate limit exceeded, please retry later"}), 429, {"retry-after": "7"}),
        },
        Order(model="seedance-2-0-260128", prompt="a cat", resolution="720p", ratio="16:9", duration=5),
    )


ARK_ID = "cgt-20260828062711-hj94q"
ACE_ID = "0e2c7b1a-5f0f-4d6b-9a51-2f1f5f1f0c11"
V2_ID = "seedance-2-0_019d0000-0000-7000-8000-000000000000"

SUBJECTS = (
    speaks_ark(ARK, ARK_ID),
    speaks_ark(BYTEPLUS, ARK_ID),
    speaks_ark(SANDBOX, ARK_ID),
    speaks_ark(AGENTSFLARE, "cgt-2026******-****", "agentsflare"),
    speaks_ark(YESCALE, "cgt-20250702113430-gvkhb", "yescale"),
    speaks_ark(APIYI, "cgt-20260606160057-6bbjd", "apiyi"),
    _acedata(),
    _pixazo_legacy(),
    _pixazo_v2(),
)
