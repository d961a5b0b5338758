"""Apps and their keys; and the name of the database itself."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from service.store.compiled import Statement
from service.store.database import Tx
from service.store.rows import insert, insert_new
from service.store.tables import TABLES

DEFAULT_APP = "default"
"""Always there: the operator's own."""

_app, _key, _pulse, _identity = (TABLES[name] for name in ("app", "api_key", "pulse", "identity"))


def add_app(tx: Tx, row: dict[str, Any]) -> None:
    insert(tx, "app", [row])


def ensure_app(tx: Tx, row: dict[str, Any]) -> None:
    insert_new(tx, _app, [row])


def app(sql: Connection, app_id: str) -> Row[Any] | None:
    found: Row[Any] | None = next(iter(_APP.one(sql, app_id=app_id)), None)
    return found


_APP = Statement(lambda _: select(_app).where(_app.c.id == bindparam("app_id")))


def apps(sql: Connection, after: str | None, limit: int) -> Sequence[Row[Any]]:
    query = select(_app).order_by(_app.c.id).limit(limit)
    return sql.execute(query if after is None else query.where(_app.c.id > after)).all()


def change_secret(tx: Tx, app_id: str, sealed: bytes) -> bool:
    return bool(tx.sql.execute(update(_app).where(_app.c.id == app_id).values(sealed=sealed)).rowcount)


def add_key(tx: Tx, row: dict[str, Any]) -> None:
    insert(tx, "api_key", [row])


def key_by_prefix(sql: Connection, prefix: str) -> Row[Any] | None:
    return sql.execute(select(_key).where(_key.c.prefix == prefix, _key.c.revoked_at.is_(None))).first()


def keys(sql: Connection, app_id: str) -> Sequence[Row[Any]]:
    return sql.execute(select(_key).where(_key.c.app_id == app_id).order_by(_key.c.id)).all()


def revoke_key(tx: Tx, app_id: str, key_id: int) -> bool:
    statement = update(_key).where(_key.c.id == key_id, _key.c.app_id == app_id, _key.c.revoked_at.is_(None))
    return bool(tx.sql.execute(statement.values(revoked_at=tx.now)).rowcount)


def ensure_identity(tx: Tx, name: str) -> None:
    insert_new(tx, _identity, [{"id": 1, "name": name}])


def identity(sql: Connection) -> str:
    return str(sql.execute(select(_identity.c.name)).scalar_one())


def beat(tx: Tx, name: str) -> None:
    """A real write, so that a full disk shows."""
    if not tx.sql.execute(update(_pulse).where(_pulse.c.name == name).values(at=tx.now)).rowcount:
        insert_new(tx, _pulse, [{"name": name, "at": tx.now}])
