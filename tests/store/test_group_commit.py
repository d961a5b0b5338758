"""Group commit: many callers, few transactions; each is answered after its own commit, and fails alone."""

import asyncio
from collections.abc import Sequence
from math import log2
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from service.domain import crowd
from service.domain.errors import Unavailable
from service.store.database import Database, Tx
from service.store.grouping import BATCH_LIMIT, HELD_S, LEAST, Group
from service.store.postgres import BATCH, GROUPS
from service.store.sqlite import SQLite
from service.store.tables import TABLES
from tests.store.conftest import Witness, transactions, write_words

pytestmark = pytest.mark.anyio


class Refused(Exception):
    """What a verb raises about one of its items."""


async def written(db: Database, words: Sequence[str], verb: Any = write_words) -> list[Any]:
    return list(await asyncio.gather(*(db.group(verb, "p", word) for word in words), return_exceptions=True))


async def asked(group: Group, word: str) -> Any:
    return await group.do(write_words, "p", word)


async def test_two_hundred_callers_share_a_handful_of_transactions(db: Database, witness: Witness) -> None:
    words = [f"word {i}" for i in range(200)]
    with transactions(db) as ends:
        assert await written(db, words) == words
    assert ends == ["commit"] * len(ends)
    assert len(ends) <= GROUPS
    assert await witness() == set(words)


async def test_a_lone_caller_waits_for_nobody(db: Database) -> None:
    with transactions(db) as ends:
        assert await db.group(write_words, "p", "alone") == "alone"
    assert ends == ["commit"]


async def test_nobody_is_answered_before_the_commit(db: Database, witness: Witness) -> None:
    answered: list[str] = []
    answered_at_commit: list[int] = []
    target = db.engine if isinstance(db, SQLite) else db.engine.sync_engine  # type: ignore[attr-defined]
    event.listen(target, "commit", lambda _: answered_at_commit.append(len(answered)))

    async def caller(word: str) -> None:
        answered.append(await db.group(write_words, "p", word))
        assert word in await witness(), "whoever has an answer can be seen by everybody"

    await asyncio.gather(*(caller(f"word {i}") for i in range(20)))
    assert answered_at_commit[0] == 0
    assert len(answered) == 20


async def test_items_of_a_verb_keep_the_order_of_their_arrival(db: Database) -> None:
    batches: list[list[int]] = []

    def number(tx: Tx, _: None, items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        return [item * 2 for item in items]

    answers = await asyncio.gather(*(db.group(number, None, i) for i in range(1_500)))
    assert list(answers) == [i * 2 for i in range(1_500)], "each caller gets the answer to its own item"
    assert all(batch == sorted(batch) for batch in batches)
    assert sorted(i for batch in batches for i in batch) == list(range(1_500))
    assert max(map(len, batches)) <= (BATCH_LIMIT if isinstance(db, SQLite) else BATCH)


async def test_verbs_and_contexts_in_one_batch_do_not_mix(db: Database) -> None:
    seen: list[tuple[str, str, list[int]]] = []

    def first(tx: Tx, context: str, items: Sequence[int]) -> list[str]:
        seen.append(("first", context, list(items)))
        return [f"first {context} {i}" for i in items]

    def second(tx: Tx, context: str, items: Sequence[int]) -> list[str]:
        seen.append(("second", context, list(items)))
        return [f"second {context} {i}" for i in items]

    asked = [(verb, context, i) for i in range(5) for verb in (second, first) for context in ("a", "b")]
    answers = await asyncio.gather(*(db.group(*one) for one in asked))
    assert list(answers) == [f"{verb.__name__} {context} {i}" for verb, context, i in asked]
    assert len(seen) <= 4 * GROUPS


async def test_one_poisoned_item_fails_alone_and_by_halving(db: Database, witness: Witness) -> None:
    await db.group(write_words, "p", "taken")
    words = [f"word {i}" for i in range(255)]
    crowd = [*words[:100], "taken", *words[100:]]
    with transactions(db) as ends:
        answers = await written(db, crowd)
    assert isinstance(answers.pop(100), IntegrityError)
    assert answers == words
    assert await witness() == {"taken", *words}
    halvings = log2(len(crowd))
    assert ends.count("commit") <= halvings + GROUPS
    assert ends.count("rollback") <= halvings + 2 + GROUPS, "and once more for the poisoned one by itself"


async def test_what_a_verb_raises_about_one_item_reaches_that_caller(db: Database, witness: Witness) -> None:
    def choosy(tx: Tx, provider: str, items: Sequence[str]) -> list[str]:
        if "bad" in items:
            raise Refused("not this one")
        return write_words(tx, provider, items)

    answers = await written(db, ["a", "bad", "b", "c"], choosy)
    assert [a if isinstance(a, str) else type(a) for a in answers] == ["a", Refused, "b", "c"]
    assert await witness() == {"a", "b", "c"}


@pytest.mark.parametrize("bad", ["a number beyond every column", "text that no database stores"])
async def test_what_the_engine_cannot_even_take_fails_alone_and_is_not_taken_for_its_trouble(
    db: Database, witness: Witness, bad: str
) -> None:
    def write(tx: Tx, provider: str, items: Sequence[str]) -> list[str]:
        odd = {"word": "\ud800"} if bad.startswith("text") else {"at": 2**70}
        rows = [{"provider": provider, "word": w, "at": tx.now} | (odd if w == "bad" else {}) for w in items]
        tx.sql.execute(TABLES["seen_word"].insert(), rows)
        return list(items)

    answers = await written(db, ["a", "bad", "b"], write)
    assert (answers[0], answers[2]) == ("a", "b")
    assert isinstance(answers[1], Exception)
    assert not isinstance(answers[1], Unavailable)
    assert await witness() == {"a", "b"}


async def test_two_poisoned_items_fail_and_no_third(db: Database, witness: Witness) -> None:
    answers = await written(db, ["a", "b", "twice", "c", "twice", "d", "e"])
    failed = [i for i, a in enumerate(answers) if isinstance(a, IntegrityError)]
    assert failed in ([4], [2]), "of two equal ones the other is kept"
    assert await witness() == {"a", "b", "c", "d", "e", "twice"}


async def test_a_lone_item_that_met_a_taken_name_is_tried_once_more(db: Database, witness: Witness) -> None:
    """Two processes may draw the same number: the second one only needs another."""
    await db.group(write_words, "p", "number 1")
    drawn = iter(["number 1", "number 2"])

    def draw(tx: Tx, provider: str, items: Sequence[None]) -> list[str]:
        return write_words(tx, provider, [next(drawn) for _ in items])

    assert await db.group(draw, "p", None) == "number 2"
    assert await witness() == {"number 1", "number 2"}


async def test_a_caller_that_gives_up_takes_nobody_with_it(db: Database, witness: Witness) -> None:
    callers = [asyncio.ensure_future(db.group(write_words, "p", f"word {i}")) for i in range(50)]
    await asyncio.sleep(0)
    for caller in callers[::7]:
        caller.cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    for i, answer in enumerate(answers):
        if i % 7:
            assert answer == f"word {i}"
        else:
            assert isinstance(answer, asyncio.CancelledError)
    assert {f"word {i}" for i in range(50) if i % 7} <= await witness()
    assert await db.group(write_words, "p", "afterwards") == "afterwards"


async def test_a_caller_that_gives_up_during_the_commit_takes_nobody_with_it(db: Database) -> None:
    loop = asyncio.get_running_loop()
    callers: list[asyncio.Task[Any]] = []

    def hang_up(tx: Tx, provider: str, items: Sequence[str]) -> list[str]:
        loop.call_soon_threadsafe(callers[0].cancel)
        return write_words(tx, provider, items)

    callers.extend(asyncio.ensure_future(db.group(hang_up, "p", f"word {i}")) for i in range(5))
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert answers[1:] == [f"word {i}" for i in range(1, 5)]


async def test_too_many_callers_are_told_to_come_again(db: Database, witness: Witness) -> None:
    group = Group([lambda act, _: db.write(act)], queue_limit=10, batch_limit=4)
    group.start()
    callers = [asyncio.create_task(asked(group, f"word {i}")) for i in range(30)]
    answers = await asyncio.gather(*callers, return_exceptions=True)
    refused = [a for a in answers if isinstance(a, Unavailable)]
    assert len(refused) == 20
    assert all(r.retry_after_s >= 1 for r in refused)
    assert await witness() == {f"word {i}" for i in range(10)}, "nothing of the refused was stored"
    assert await group.do(write_words, "p", "afterwards") == "afterwards"
    await group.stop()


async def test_stopping_finishes_what_waits_and_takes_nothing_more(db: Database, witness: Witness) -> None:
    group = Group([lambda act, _: db.write(act)], batch_limit=8)
    group.start()
    callers = [asyncio.create_task(asked(group, f"word {i}")) for i in range(50)]
    await asyncio.sleep(0)
    await group.stop()
    assert await asyncio.gather(*callers) == [f"word {i}" for i in range(50)]
    assert len(await witness()) == 50
    with pytest.raises(Unavailable):
        await group.do(write_words, "p", "too late")


async def test_where_the_loop_runs_what_is_short_that_shares_no_transaction_with_what_is_not(db: Database) -> None:
    """Or a whole crowd would be put off for the sake of one, and wait for the interpreter between any two statements."""
    transactions: list[bool] = []

    async def commit(act: Any, short: bool) -> Any:
        transactions.append(short)
        return await db.write(act)

    group = Group([commit], apart=True)
    loop = asyncio.get_running_loop()
    words = [f"word {i}" for i in range(9)]
    asked = [group.do(write_words, "p", words[0], short=False)]
    since = loop.time()
    while loop.time() == since:  # noqa: ASYNC110 (the loop's clock moves by milliseconds)
        await asyncio.sleep(0)
    asked += [group.do(write_words, "p", word, short=i % 3 > 0) for i, word in enumerate(words[1:], start=1)]
    group.start()
    assert await asyncio.gather(*asked) == words
    assert transactions == [False, True], "whoever waits longest comes first"
    await group.stop()


async def test_a_batch_holds_up_the_loop_no_longer_than_its_other_callers_can_bear() -> None:
    now_s, one_s, elsewhere = 0.0, HELD_S / 100.5, False
    batches: list[int] = []

    async def commit(act: Any, _short: bool) -> Any:
        return await asyncio.to_thread(act, None) if elsewhere else act(None)

    def work(_tx: Tx, _context: None, items: Sequence[None]) -> list[None]:
        nonlocal now_s
        now_s += one_s * len(items)
        batches.append(len(items))
        return list(items)

    async def crowd() -> list[int]:
        batches.clear()
        await asyncio.gather(*(group.do(work, None, None) for _ in range(500)))
        return list(batches)

    group = Group([commit], apart=True, clock_s=lambda: now_s)
    group.start()
    assert await crowd() == [500], "nobody knows yet"
    assert await crowd() == [100] * 5
    one_s *= 10
    assert await crowd() == [100, *[LEAST] * (400 // LEAST), 400 % LEAST], "a commit has its price"
    one_s /= 1_000
    assert await crowd() == [LEAST, 500 - LEAST]
    one_s *= 1_000
    assert await crowd() == [500]
    elsewhere = True
    assert await crowd() == [LEAST, 500 - LEAST], "in a thread it holds up nobody"
    await group.stop()


async def test_a_transaction_of_its_own_commits_or_leaves_nothing(db: Database, witness: Witness) -> None:
    await db.write(lambda tx: write_words(tx, "p", ["kept"]))

    def half(tx: Tx) -> None:
        write_words(tx, "p", ["lost"])
        raise Refused("after the first half")

    with pytest.raises(Refused):
        await db.write(half)
    assert await witness() == {"kept"}


async def test_a_group_knows_when_a_newcomer_would_wait_too_long(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group([lambda act, _: db.write(act)], batch_limit=4)
    callers = [asyncio.create_task(asked(group, f"word {i}")) for i in range(9)]
    await asyncio.sleep(0)
    assert not group.crowded
    monkeypatch.setattr(crowd, "STUCK_S", -1.0)  # any waiting is too long
    assert group.crowded
    group.start()
    await asyncio.gather(*callers)
    assert not group.crowded, "nobody waits"
    await group.stop()
