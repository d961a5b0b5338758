"""Everything durable: tables, every SQL statement, the group commit, migrations.

Functions that take a `Tx` or a connection never commit; only `Database` does, and only `flow/` asks it to. Absent on
purpose: decisions. What a row should become is decided in `domain/` and handed in.
"""
