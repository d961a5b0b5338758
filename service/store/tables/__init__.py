"""The tables. One schema for both engines; instants are integer milliseconds, names of rows 63-bit integers.

Rows that are claimed carry one timestamp that says who may act and when, under a partial index that holds nothing but
open work: a million finished rows cost the claim nothing. On PostgreSQL every change leaves a dead row behind: pages have
room for the next version, and are swept long before a fifth of them is dead.
"""

from sqlmodel import SQLModel

from service.store.tables.accounts import AccountState, Sample, Share, Tally
from service.store.tables.apps import ApiKey, App
from service.store.tables.columns import Big
from service.store.tables.events import Event, SeenWord
from service.store.tables.fanout import Attempt, Delivery, Lane, Pace, Subscription
from service.store.tables.tasks import Idempotency, Receipt, Submission, Task, TaskLabel, TaskOrder
from service.store.tables.upkeep import Era, Identity, Job, Pulse

metadata = SQLModel.metadata
TABLES = {table.name: table for table in metadata.sorted_tables}

__all__ = [
    "TABLES",
    "AccountState",
    "ApiKey",
    "App",
    "Attempt",
    "Big",
    "Delivery",
    "Era",
    "Event",
    "Idempotency",
    "Identity",
    "Job",
    "Lane",
    "Pace",
    "Pulse",
    "Receipt",
    "Sample",
    "SeenWord",
    "Share",
    "Submission",
    "Subscription",
    "Tally",
    "Task",
    "TaskLabel",
    "TaskOrder",
    "metadata",
]
