"""What this process has counted goes to the database; now and then, what all of them have learned comes back."""

from service.domain.errors import Unavailable
from service.domain.learning import MANY, learned
from service.parts import Parts
from service.store import accounts

EVERY_MS = 15_000


async def keep(parts: Parts) -> None:
    """What this process has counted since the last time."""
    taken = parts.metrics.ledger.take()
    if any(taken):
        try:
            await parts.db.write(lambda tx: accounts.add_counts(tx, *taken))
        except Unavailable:
            parts.metrics.ledger.give_back(taken)
            raise


async def settle(parts: Parts) -> None:
    await keep(parts)
    known = {group: learned(counts) for group, counts in (await parts.db.read(accounts.samples)).items()}
    many = [group for group, what in known.items() if what.count >= MANY]
    if many:
        await parts.db.write(lambda tx: accounts.halve(tx, many))
    parts.accounts.learn(known)
