"""What no key opens: addresses and secrets that were sealed with a key that is not there any more. Reads only."""

from functools import partial

from service.cli.audit import reader
from service.domain import ids
from service.settings import Settings
from service.signing import Seal
from service.store import sealed

PAGE = 1_000
"""Seals read at once: some tens of milliseconds to open."""
NAMED = 5


async def closed(settings: Settings) -> str:
    """In words, with the first few by their names; empty where everything can be opened."""
    seal = Seal(settings.encryption_keys)
    read, close = reader(settings)
    names: list[str] = []
    try:
        after_id = 0
        while some := await read(partial(sealed.living, after_id=after_id, most=PAGE)):
            names += [f"the address of {ids.encode(ids.SUBSCRIPTION, i)}" for i, one in some.items() if not seal.opens(one)]
            after_id = max(some)
        names += [f"the secret of app {app_id}" for app_id, one in (await read(sealed.of_apps)).items() if not seal.opens(one)]
    finally:
        await close()
    return ", ".join([*names[:NAMED], *([f"and {len(names) - NAMED} more"] if len(names) > NAMED else [])])
