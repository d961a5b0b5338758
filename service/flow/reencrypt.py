"""Re-encrypt: everything that is sealed is sealed anew with the newest key, so that an older one can be taken away.

A durable job of the operator's app, a batch at a time. It stops at the first thing that no key opens, and says which: then
a key was taken away too early.
"""

from typing import Any

from service.domain import ids
from service.domain.errors import Conflict, KeyMissing
from service.parts import Parts
from service.store import jobs, sealed
from service.store.apps import DEFAULT_APP
from service.store.database import Tx

KIND = "reencrypt"
BATCH = 200
"""Seals of one commit: each takes some tens of microseconds, in which nobody else writes on SQLite."""

EVERYTHING = 2**63 - 1


async def start(parts: Parts) -> Any:
    """The job. It walks to the very end: names follow clocks, and that of another process may be ahead of ours."""

    def act(tx: Tx) -> int:
        if jobs.running(tx.sql, DEFAULT_APP, KIND) is not None:
            raise Conflict("everything is being re-encrypted already; look at its job")
        return jobs.add(tx, DEFAULT_APP, KIND, None, 0, EVERYTHING)

    job_id = await parts.db.write(act)
    parts.janitor.bell.set()
    return await parts.db.read(lambda sql: jobs.by_id(sql, DEFAULT_APP, job_id))


def batch(tx: Tx, parts: Parts, job: Any) -> None:
    found = sealed.subscriptions(tx, job.place, job.last, BATCH)
    subscriptions: dict[int, bytes] = {}
    for name, old in found.items():
        try:
            subscriptions[name] = parts.seal.renew(old)
        except KeyMissing:
            return _stop(tx, job, f"the address of {ids.encode(ids.SUBSCRIPTION, name)}")
    sealed.put_subscriptions(tx, subscriptions)
    if len(found) == BATCH:
        return jobs.advance(tx, job, BATCH, BATCH, max(found))
    apps: dict[str, bytes] = {}
    for app_id, old in sealed.apps(tx).items():  # few; with the last batch
        try:
            apps[app_id] = parts.seal.renew(old)
        except KeyMissing:
            return _stop(tx, job, f"the secret of app {app_id}")
    sealed.put_apps(tx, apps)
    return jobs.advance(tx, job, len(found) + len(apps), len(found) + len(apps), None)


def _stop(tx: Tx, job: Any, what: str) -> None:
    jobs.stop(tx, job.id, f"no key opens {what}; put back the encryption key that sealed it, and start again")
