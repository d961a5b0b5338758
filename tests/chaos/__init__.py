"""Chaos: real processes of the service, killed, frozen and starved under load, and what they owe afterwards.

Each file named after a disaster offers `run(ground, scale)`: it lasts as long as its scale says, and what it finds lands in
the ground's history. `test_chaos.py` runs all of them in seconds, `python -m tests.chaos` in minutes. Real are the
processes, the sockets, the databases, the provider's and the subscribers' servers. Only the clock can be turned
(`clock.py`), so that leases and schedules of days run out within a test.
"""
