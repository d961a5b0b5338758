"""Everything that is kept sealed, walked once so that it can be sealed anew: addresses with their keys, secrets of apps.

Absent on purpose: the seal itself. What is written here was made elsewhere.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, select, update

from service.store.database import Tx
from service.store.tables import TABLES

_sub, _app = TABLES["subscription"], TABLES["app"]


def subscriptions(tx: Tx, after_id: int, last_id: int, most: int) -> dict[int, bytes]:
    """In order of their ids, those that are gone but not dropped yet as well; locked."""
    query = select(_sub.c.id, _sub.c.sealed).where(_sub.c.id > after_id, _sub.c.id <= last_id).order_by(_sub.c.id).limit(most)
    return {row.id: bytes(row.sealed) for row in tx.sql.execute(query.with_for_update() if tx.postgres else query)}


def apps(tx: Tx) -> dict[str, bytes]:
    query = select(_app.c.id, _app.c.sealed).order_by(_app.c.id)
    return {row.id: bytes(row.sealed) for row in tx.sql.execute(query.with_for_update() if tx.postgres else query)}


def living(sql: Connection, after_id: int, most: int) -> dict[int, bytes]:
    """As `subscriptions`, to look at: those that are not gone."""
    query = select(_sub.c.id, _sub.c.sealed).where(_sub.c.id > after_id, _sub.c.status != "deleted").order_by(_sub.c.id)
    return {row.id: bytes(row.sealed) for row in sql.execute(query.limit(most))}


def of_apps(sql: Connection) -> dict[str, bytes]:
    """As `apps`, to look at."""
    return {row.id: bytes(row.sealed) for row in sql.execute(select(_app.c.id, _app.c.sealed).order_by(_app.c.id))}


def put_subscriptions(tx: Tx, sealed: Mapping[int, bytes]) -> None:
    """The same content under another key: what couriers keep in memory stays right, so versions do too."""
    if sealed:
        statement = update(_sub).where(_sub.c.id == bindparam("_id")).values(sealed=bindparam("_sealed"))
        tx.sql.execute(statement, [{"_id": i, "_sealed": new} for i, new in sealed.items()])


def put_apps(tx: Tx, sealed: Mapping[str, bytes]) -> None:
    if sealed:
        statement = update(_app).where(_app.c.id == bindparam("_id")).values(sealed=bindparam("_sealed"))
        tx.sql.execute(statement, [{"_id": i, "_sealed": new} for i, new in sealed.items()])
