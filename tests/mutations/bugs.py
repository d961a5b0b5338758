"""The bugs as data: which text of which file becomes which, and who is expected to notice.

Anchors are short, so that they survive other changes; each has to stand in its file exactly once.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    name: str
    path: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]
    """Expected to notice. When they do not, everything in `area` is asked."""
    area: tuple[str, ...] = ("tests/flow", "tests/web", "tests/model")


BUGS = (
    Bug(
        "deliveries in hand are kept in memory only, not in the transaction of their event",
        "service/flow/announce.py",
        (("add_deliveries(tx, rows)", 'add_deliveries(tx, [row for row in rows if not row["fence"]])'),),
        ("tests/flow/test_record.py", "tests/model"),
    ),
    Bug(
        "a claim does not raise the fence, so that whoever lost his lease can settle",
        "service/store/deliveries.py",
        (('"fence": _delivery.c.fence + bindparam("_one", 1)', '"fence": _delivery.c.fence + bindparam("_one", 0)'),),
        ("tests/flow/test_attempts.py", "tests/flow/test_turns.py", "tests/store/test_claims.py"),
        ("tests/flow", "tests/store"),
    ),
    Bug(
        "the rank of states is not looked at: older news moves a task back",
        "service/domain/lifecycle.py",
        (
            (
                "    return TABLE[current, reported]",
                "    return Verdict.DUPLICATE if current is reported else Verdict.ADVANCE",
            ),
        ),
        ("tests/domain/test_lifecycle.py", "tests/flow/test_record.py"),
        ("tests/domain", "tests/flow"),
    ),
    Bug(
        "a callback token is signed for its provider only, not for its submission",
        "service/signing.py",
        (
            (
                'bound = self._signer.sign(f"{provider}.{submission_id:x}").decode()',
                'bound = f"{provider}.{submission_id:x}." + self._signer.sign(provider).decode().removeprefix(f"{provider}.")',
            ),
            ('verify_signature(f"{provider}.{signed}"', 'verify_signature(f"{provider}.{stamp}"'),
        ),
        ("tests/test_signing.py",),
        ("tests/web",),
    ),
    Bug(
        "an order whose answer got lost is sent again",
        "service/domain/advance.py",
        (
            (
                "            return placement.unknown(task, sub, news, now, terms)",
                "            return placement.placed_again(task, sub, NotSent(news.reason), now, jitter)",
            ),
        ),
        ("tests/flow/test_unknown.py", "tests/domain/test_advance.py"),
        ("tests/domain", "tests/flow", "tests/model"),
    ),
    Bug(
        "what was sent is settled as told before its answer is read",
        "service/flow/deliver.py",
        (
            ("outcome = addressee.channel.read(reply, at)", "outcome = Told()"),
            ("import AT_ONCE_MS, ", "import AT_ONCE_MS, Told, "),
        ),
        ("tests/flow/test_attempts.py",),
    ),
    Bug(
        "a job in the provider's list is adopted although another order could have made it",
        "service/domain/adoption.py",
        (('suitors[entries[0].report.remote_id or ""] == 1', 'suitors[entries[0].report.remote_id or ""] >= 1'),),
        ("tests/domain/test_adoption.py",),
        ("tests/domain", "tests/flow"),
    ),
    Bug(
        "one route forgets to ask for the app: any delivery can be read by its name",
        "service/store/outbox.py",
        (("_delivery.c.id == delivery_id, _delivery.c.app_id == app_id)).first()", "_delivery.c.id == delivery_id)).first()"),),
        ("tests/web/test_guard.py", "tests/web/test_subscriptions.py"),
        ("tests/web",),
    ),
    Bug(
        "the pauses between questions widen without a cap",
        "service/domain/patience.py",
        (
            (
                "min(again_s * pace.widen ** min(asks, 40), pace.cap_s) * SECOND_MS",
                "(again_s * pace.widen ** min(asks, 40)) * SECOND_MS",
            ),
        ),
        ("tests/domain/test_advance.py", "tests/flow/test_asking.py"),
        ("tests/domain", "tests/flow", "tests/gateways"),
    ),
    Bug(
        "a lane that lies still is not told of its new deliveries",
        "service/flow/announce.py",
        (("    lanes.touch(tx, earliest)\n", ""),),
        ("tests/flow/test_turns.py", "tests/flow/test_subscriptions.py"),
    ),
)


def broken(bug: Bug, source: str) -> str:
    for old, new in bug.edits:
        if source.count(old) != 1:
            raise LookupError(f"{bug.path} holds {source.count(old)} times, and not once: {old}")
        source = source.replace(old, new)
    return source
