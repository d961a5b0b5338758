"""Whatever bytes come, reading them is an outcome and never an exception; and damage never makes more of a body than it said."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.lifecycle import ENDINGS, State
from service.domain.report import Accepted, Rejected, Report
from service.providers.acedata import ACEDATA
from service.providers.agentsflare import AGENTSFLARE
from service.providers.apiyi import APIYI
from service.providers.ark import ARK
from service.providers.base import Gateway
from service.providers.pixazo import PIXAZO
from service.providers.registry import GATEWAYS, batches, cancels, scans
from service.providers.yescale import YESCALE
from service.wire import Reply
from tests.providers.conformance import FIXTURES, NOW
from tests.providers.damage import replaced

READERS: dict[str, Gateway] = {
    "ark": ARK,
    "agentsflare": AGENTSFLARE,
    "yescale": YESCALE,
    "pixazo": PIXAZO,
    "apiyi": APIYI,
    "acedata": ACEDATA,
}
BODIES = sorted(path for folder in READERS for path in (FIXTURES / folder).glob("*.json"))
OTHER_TYPES: tuple[Any, ...] = (None, True, 0, -1, 2**70, 1.5, "", "\x00", "x" * 9_000, [], [{}], {}, {"id": "x"})
STATUSES = (200, 202, 204, 301, 400, 401, 402, 403, 404, 408, 409, 418, 429, 500, 503)
ORDERED = {None: -1, State.CREATED: 0, State.QUEUED: 1, State.RUNNING: 2}


def everything(gateway: Gateway, reply: Reply, remote_id: str) -> list[object]:
    """All that can be read, read."""
    outcomes: list[object] = [
        gateway.read_submit(reply, NOW),
        gateway.read_query(reply, remote_id, NOW),
        gateway.read_callback(reply.body),
    ]
    if many := batches(gateway):
        outcomes.append(many.read_many(reply, NOW))
    if cancelling := cancels(gateway):
        outcomes.append(cancelling.read_cancel(reply, NOW))
    if scanning := scans(gateway):
        outcomes.append(scanning.read_scan(reply, NOW))
    return outcomes


def name_of(body: bytes) -> str:
    said = orjson.loads(body)
    return str(said.get("id") or said.get("task_id") or "cgt-1") if isinstance(said, dict) else "cgt-1"


def reports(outcome: object) -> list[Report]:
    return [outcome] if isinstance(outcome, Report) else list(outcome.values()) if isinstance(outcome, dict) else []


def check_no_more_than(said: list[object], damaged: list[object]) -> None:
    for before, after in zip(said, damaged, strict=True):
        if isinstance(after, Accepted):
            assert isinstance(before, Accepted)
        if isinstance(after, Rejected):
            assert not isinstance(before, Accepted)
        known = {report.state for report in reports(before)}
        for report in reports(after):
            assert (report.result is None) == (report.state is not State.SUCCEEDED)
            if report.state in ENDINGS:
                assert report.state in known
            else:
                assert ORDERED[report.state] <= max((ORDERED.get(state, 3) for state in known), default=-1)


@pytest.mark.parametrize("path", BODIES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_body_with_a_byte_removed_says_the_same_or_less(path: Path) -> None:
    body, gateway = path.read_bytes(), READERS[path.parent.name]
    status = 400 if path.name.startswith("error") else 200
    said = everything(gateway, Reply(status, {}, body), name_of(body))
    for i in range(len(body)):
        damaged = Reply(status, {}, body[:i] + body[i + 1 :])
        check_no_more_than(said, everything(gateway, damaged, name_of(body)))


@pytest.mark.parametrize("path", BODIES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_body_with_a_type_changed_says_the_same_or_less(path: Path) -> None:
    body, gateway = path.read_bytes(), READERS[path.parent.name]
    status = 400 if path.name.startswith("error") else 200
    said = everything(gateway, Reply(status, {}, body), name_of(body))
    for changed in replaced(orjson.loads(body), OTHER_TYPES):
        try:
            raw = orjson.dumps(changed)
        except TypeError:  # an integer beyond 64 bits, which JSON can hold
            raw = str(changed).replace("None", "null").replace("True", "true").replace("'", '"').encode()
        check_no_more_than(said, everything(gateway, Reply(status, {}, raw), name_of(body)))


KEYS = ["id", "task_id", "request_id", "status", "content", "video_url", "error", "code", "message", "items", "data", "success"]
MORE = ["response", "output", "media_url", "usage", "completion_tokens", "created_at", "total", "model", "type", "Error"]
SAID = ["succeeded", "failed", "COMPLETED", "https://media.example/x.mp4", "QuotaExceeded", "cgt-1", "ResponseMetadata"]
WORDS = st.sampled_from([*KEYS, *MORE, *SAID])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=25,
)
STRANGE = st.sampled_from(
    [
        b"[" * 100_000,
        b'{"id":NaN}',
        b'{"id":"\\ud800","status":"x"}',
        b"\xff\xfe",
        b"\x1f\x8b\x08",
        b'{"id":1' + b"0" * 400 + b"}",
    ]
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    body=JSON.map(orjson.dumps) | st.binary(max_size=64) | STRANGE,
    status=st.sampled_from(STATUSES),
    header=st.sampled_from(["", "7", "-1", "9" * 40, "Wed, 21 Oct 2026 07:28:00 GMT", "never", "\x00"]),
)
def test_no_bytes_raise(body: bytes, status: int, header: str) -> None:
    for gateway in GATEWAYS.values():
        for outcome in everything(gateway, Reply(status, {"retry-after": header}, body), "cgt-1"):
            assert outcome is not None
