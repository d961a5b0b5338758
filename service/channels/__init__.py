"""How each kind of subscriber is told: one small file per channel, which composes requests and reads answers.

Absent on purpose: sending, clocks, retries. A channel says what an answer meant; `domain/delivery.py` says what follows.
"""
