"""The verbs: submit, record, reconcile, deliver, retain. The only room that opens transactions and sends requests, never
both at once.

Absent on purpose: decisions (they are pure, in `domain/`), SQL (in `store/`), wire formats (in `providers/`, `channels/`).
"""
