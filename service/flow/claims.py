"""What was claimed under another name: of an order whose provider knows none of the names that callbacks gave it, callbacks
are all there is to go by, and the ending that one of them told is as good as if it had been the first to come.

It is read from the receipts, which are kept for as long as their task is open.
"""

from service.domain.lifecycle import ENDINGS
from service.domain.naming import names
from service.domain.report import Report
from service.domain.task import Submission
from service.parts import Parts
from service.providers.registry import GATEWAYS
from service.store import journal

LOOKED_AT = 20
"""Callbacks of one submission, oldest first: each may be a megabyte."""


async def claimed_ending(parts: Parts, sub: Submission) -> Report | None:
    if parts.accounts.terms(sub.provider, sub.account).confirms:
        return None
    bodies = await parts.db.read(lambda sql: journal.contradicting(sql, sub.task_id, sub.id, LOOKED_AT))
    for body in bodies:
        said = GATEWAYS[sub.provider].read_callback(body)
        if isinstance(said, Report) and said.state in ENDINGS and said.remote_id in names(sub):
            return said
    return None
