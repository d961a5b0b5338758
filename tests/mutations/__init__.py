"""Ten plausible bugs, put in one at a time, to see that the tests notice: `python -m tests.mutations`."""
