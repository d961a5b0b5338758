"""The hub of the live feed: one database tail and one timer for all readers of a process.

A reader that comes back first reads from the database what it missed, then steps on the moving train: the hub keeps the
last frames, and takes a reader aboard only if they reach back to where the reader stands. Every place is compared, so
that nothing is left out and nothing comes twice. Absent on purpose: HTTP, and a tail for each client.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from service.domain.errors import Unavailable
from service.domain.matching import wants
from service.parts import Parts
from service.store import journal
from service.web import feed
from service.web.reader import Frame, Place, Reader

log = logging.getLogger("callsheet.live")

PAGE = 200
"""Events read from the database at once."""
PAGE_BYTES = 256 * 1024
"""Of those, what is kept until the reader has taken it; one event at least."""
PAGES = 64
"""Readers with a page in memory at once, 16 MiB together: the others wait, however many come back and do not read."""
TAKE_S = 5.0
"""For one page. Whoever has not taken it then is cut off and gives its place to the next; it resumes by the id it has."""
RECENT_LIMIT_BYTES = 512 * 1024
"""Of the last frames, for readers that have just caught up; half of what may wait for one of them."""
REPLAYS = 4
"""Readers that read from the database at once: a crowd that returns may not take it from the callers."""
SLICE = 256
"""Readers served before anybody else in the process has a turn."""
POLL_S = 0.5
"""A bell that other processes rang may have got lost on the way."""
SOON_S = 0.05
"""A bell rings for events that an older transaction, still open, hides from everybody for a moment (PostgreSQL)."""
BEAT_S = 15.0
GOODBYE_S = 1.0
"""For a stream's last bytes at shutdown; whoever has not taken them then is hung up on."""
PAUSE_LIMIT_S = 5.0


class Hub:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._readers: set[Reader] = set()
        self._empty = asyncio.Event()
        self._aboard: dict[str, set[Reader]] = {}
        """By app: those that have caught up."""
        self._recent: deque[Frame] = deque()
        self._recent_bytes = 0
        self._at: Place = (0, 0)
        """Everything up to here was handed out."""
        self._floor: Place = (0, 0)
        """Everything after it and up to `_at` is among the recent frames."""
        self._tail: asyncio.Task[None] | None = None
        """Runs while there are readers. Never cancelled: a statement that is torn out of its connection costs the connection."""
        self._replaying = asyncio.Semaphore(REPLAYS)
        self._pages = asyncio.Semaphore(PAGES)
        self.closed = False

    @property
    def reader_count(self) -> int:
        return len(self._readers)

    def add(self, reader: Reader) -> None:
        self._readers.add(reader)
        self._empty.clear()
        if self.closed:
            reader.end()

    def remove(self, reader: Reader) -> None:
        self._readers.discard(reader)
        reader.leave()
        aboard = self._aboard.get(reader.app_id)
        if aboard is not None:
            aboard.discard(reader)
            if not aboard:
                del self._aboard[reader.app_id]
        if not self._readers:
            self._empty.set()
            self._parts.happened.set()

    async def close(self) -> None:
        """Every stream ends now; their readers come back to whoever is there then."""
        self.closed = True
        for reader in tuple(self._readers):
            reader.end()
        if self._readers:
            await _ring(self._empty, GOODBYE_S)
        for reader in tuple(self._readers):
            reader.hang_up()
        if self._tail is not None:
            self._parts.happened.set()
            await asyncio.wait([self._tail], timeout=GOODBYE_S)

    # --- a reader catches up ---

    async def catch_up(self, reader: Reader) -> None:
        try:
            while not reader.over and (reader.behind or not self._board(reader)):
                async with self._pages:
                    async with self._replaying:
                        await self._turn_page(reader)
                    async with asyncio.timeout(TAKE_S):
                        await reader.drain()
        except TimeoutError:
            reader.cut("too_slow")
        except Exception as error:
            _failed("live.replay_failed", error)
            reader.end()  # it comes back by itself

    async def _turn_page(self, reader: Reader) -> None:
        """Nothing of the page is kept here: the reader alone holds what it has not taken."""
        if reader.over:
            return
        end, rows, more = await self._parts.db.read(lambda sql: _page(sql, reader.app_id, reader.place))
        frames = [_frame(row) for row in rows]
        last = frames[-1].place if frames else end
        reader.behind = more
        reader.place = last if more else max(end, last)
        reader.give([f.data for f in frames if _chosen(reader.patterns, f)])

    def _board(self, reader: Reader) -> bool:
        """Without a pause inside: between what the reader is given here and what the hub reads next there is no gap."""
        if self._tail is None:
            self._at = self._floor = reader.place
            self._recent.clear()
            self._recent_bytes = 0
            self._tail = asyncio.create_task(self._follow(), name="live tail")
        elif reader.place < self._floor:
            return False
        reader.push([f for f in self._recent if f.app_id == reader.app_id and _chosen(reader.patterns, f)])
        self._aboard.setdefault(reader.app_id, set()).add(reader)
        return True

    # --- the hub itself ---

    async def _follow(self) -> None:
        beats = asyncio.create_task(self._beats(), name="live beats")
        errors = 0
        rung = False
        while self._readers and not self.closed:
            self._parts.happened.clear()
            numbered = self._at[0] > 0  # transactions have numbers: it is PostgreSQL
            pause_s = SOON_S if rung and numbered else POLL_S
            try:
                rows = await self._parts.db.read(lambda sql: journal.feed(sql, None, self._at, PAGE))
                errors = 0
                await self._hand_out([_frame(row) for row in rows])
                if len(rows) >= PAGE:
                    continue
            except Exception as error:
                # Nothing is lost: the place stands, and the next round reads from there.
                errors += 1
                _failed("live.tail_failed", error)
                pause_s = min(0.1 * 2**errors, PAUSE_LIMIT_S)
            rung = await _ring(self._parts.happened, pause_s)
        beats.cancel()
        self._tail = None

    async def _hand_out(self, frames: Sequence[Frame]) -> None:
        """Who gets what is settled without a pause: whoever comes aboard later finds it among the recent frames."""
        if not frames:
            return
        self._remember(frames)
        by_app: dict[str, list[Frame]] = {}
        for frame in frames:
            by_app.setdefault(frame.app_id, []).append(frame)
        shares: list[tuple[Reader, list[Frame]]] = []
        for app_id, of_app in by_app.items():
            chosen: dict[tuple[str, ...], list[Frame]] = {}
            for reader in self._aboard.get(app_id, ()):
                if reader.patterns not in chosen:
                    chosen[reader.patterns] = [f for f in of_app if _chosen(reader.patterns, f)]
                shares.append((reader, chosen[reader.patterns]))
        for count, (reader, share) in enumerate(shares, 1):
            reader.push(share)
            if count % SLICE == 0:
                await asyncio.sleep(0)

    def _remember(self, frames: Sequence[Frame]) -> None:
        self._at = frames[-1].place
        self._recent.extend(frames)
        self._recent_bytes += sum(len(f.data) for f in frames)
        while self._recent_bytes > RECENT_LIMIT_BYTES:
            oldest = self._recent.popleft()
            self._recent_bytes -= len(oldest.data)
            self._floor = oldest.place

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            await self.beat(asyncio.get_running_loop().time())

    async def beat(self, now_s: float) -> None:
        for count, reader in enumerate(tuple(self._readers), 1):
            reader.beat(now_s)
            if count % SLICE == 0:
                await asyncio.sleep(0)


def _page(sql: Connection, app_id: str, after: Place) -> tuple[Place, Sequence[Any], bool]:
    """The end first: a page after which there is no more then holds everything up to it."""
    end = journal.feed_end(sql)
    sizes = journal.feed_sizes(sql, app_id, after, PAGE)
    count = total = 0
    for size in sizes:
        total += size
        if count and total > PAGE_BYTES:
            break
        count += 1
    rows = journal.feed(sql, app_id, after, count) if count else []
    return end, rows, count < len(sizes) or count >= PAGE


def _frame(row: Any) -> Frame:
    """The stored notice is one line of JSON, so it is one line of data."""
    place = (row.xact, row.id)
    head = f"id: {feed.place(*place)}\nevent: {row.type}\ndata: ".encode()
    return Frame(place, row.app_id, row.type, b"%b%b\n\n" % (head, bytes(row.body)))


def _chosen(patterns: tuple[str, ...], frame: Frame) -> bool:
    return not patterns or wants(patterns, frame.type)


async def _ring(bell: asyncio.Event, pause_s: float) -> bool:
    try:
        async with asyncio.timeout(pause_s):
            return await bell.wait()
    except TimeoutError:
        return False


def _failed(name: str, error: Exception) -> None:
    known = isinstance(error, Unavailable)
    level = logging.WARNING if known else logging.ERROR
    log.log(level, name, exc_info=None if known else error, extra={"reason": str(error)[:200]})
