"""How each gateway speaks: one small file per gateway, which builds requests and reads bodies. It never sends.

Absent on purpose: I/O, clocks, retries, state, and any decision about a task. A fact about a gateway lives in its own
file and nowhere else; a shape that no `match` declares is *unreadable*, never a guess.
"""
