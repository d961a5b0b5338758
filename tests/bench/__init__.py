"""Benchmarks: each a command of its own (`python -m tests.bench.ingest`), all of them by `./infra/bench`.

Absolute figures wander with the machine. Every figure is a ratio against a baseline in the same run, interleaved with it,
as a median of at least five; nothing here is a test, and no test is timed. `harness` is the common shape, `results` the
JSON file, `servers` and `load` the two ends, `ground`, `seed` and `subscribed` what lies in the database before.
"""
