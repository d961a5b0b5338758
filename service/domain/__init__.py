"""The words and the decisions: pure functions over frozen values.

Absent on purpose: I/O, clocks, randomness, async, HTTP, SQL, provider names. Instants are integer milliseconds since
1970 UTC and come in as arguments; so does every random number.
"""
