"""Answers read from bytes, cut anywhere."""

from itertools import pairwise

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.egress.answer import FRAMING_LIMIT, HEADER_LIMIT, INTERIM_LIMIT, Answer, Over
from service.wire import Reply

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world"
CHUNKED = (
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
    b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n"
)
UNTIL_CLOSE = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<h1>hello</h1>"
OLD = b"HTTP/1.0 200 OK\r\n\r\nhello"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Early: 1\r\n\r\n" + LENGTH
EMPTY = b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"
ALL = [LENGTH, CHUNKED, UNTIL_CLOSE, OLD, INTERIM, EMPTY, NOT_MODIFIED]


def read(*pieces: bytes, cap: int = 1_000, over: Over = "error", bodiless: bool = False) -> tuple[Reply, bool]:
    answer = Answer(cap, over, bodiless=bodiless)
    for piece in pieces:
        answer.feed(piece)
    if not answer.complete:
        answer.end()
    return answer.reply(), answer.keep


@pytest.mark.parametrize(
    ("raw", "status", "body", "keep"),
    [
        (LENGTH, 200, b"hello world", True),
        (CHUNKED, 201, b"hello world", True),
        (UNTIL_CLOSE, 502, b"<h1>hello</h1>", False),
        (OLD, 200, b"hello", False),
        (INTERIM, 200, b"hello world", True),
        (EMPTY, 204, b"", True),
        (NOT_MODIFIED, 304, b"", True),
        (LENGTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 200, b"hello world", False),
    ],
)
def test_each_way_to_end_a_body_is_understood(raw: bytes, status: int, body: bytes, keep: bool) -> None:
    reply, kept = read(raw)
    assert (reply.status, reply.body, kept) == (status, body, keep)


def test_header_names_are_lower_case_and_repeated_ones_joined_and_trailers_and_early_hints_left_out() -> None:
    assert read(CHUNKED)[0].headers == {"transfer-encoding": "chunked", "x-a": "1, 2"}
    assert read(INTERIM)[0].headers == {"content-type": "text/plain", "content-length": "11"}


def test_an_answer_to_head_has_no_body_whatever_it_announces() -> None:
    reply, keep = read(LENGTH.partition(b"hello")[0], bodiless=True)
    assert (reply.body, reply.headers["content-length"], keep) == (b"", "11", True)


@given(st.sampled_from(ALL), st.lists(st.integers(0, 200), max_size=12))
@example(CHUNKED, list(range(200)))
@example(INTERIM, list(range(200)))
def test_where_the_bytes_are_cut_makes_no_difference(raw: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(raw)]
    pieces = [raw[a:b] for a, b in pairwise(edges) if a < b]
    assert read(*pieces) == read(raw)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(0, 300), st.sampled_from([1, 7, 64]))
def test_a_chunked_body_comes_out_as_it_went_in_up_to_its_cap(chunks: list[bytes], cap: int, step: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw += b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    answer = Answer(cap, "cut")
    for at in range(0, len(raw), step):
        if not answer.complete:
            answer.feed(raw[at : at + step])
    body = b"".join(chunks)
    assert answer.reply().body == body[:cap]
    assert answer.keep is (len(body) <= cap)


@given(st.binary(max_size=200), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", *ALL]), st.integers(1, 40))
def test_no_bytes_do_worse_than_a_protocol_error(noise: bytes, start: bytes, step: int) -> None:
    raw = start[: len(noise) * 2] + noise
    answer = Answer(100, "cut")
    try:
        for at in range(0, len(raw), step):
            answer.feed(raw[at : at + step])
        answer.end()
    except httpx.RemoteProtocolError:
        return
    assert len(answer.reply().body) <= 100


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"<html>not http</html>",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 099 Odd\r\n\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxx",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"",
    ],
)
def test_garbage_and_half_an_answer_are_protocol_errors(raw: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        read(raw)


@pytest.mark.parametrize("extra", [LENGTH, b"x", b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\x00"])
def test_more_than_was_asked_for_leaves_the_answer_and_spoils_the_connection(extra: bytes) -> None:
    reply, keep = read(LENGTH + extra)
    assert (reply.body, keep) == (b"hello world", False)


def test_a_long_body_is_no_flood_however_small_its_pieces() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [b"1\r\nx\r\n"] * FRAMING_LIMIT
    assert len(read(head, *pieces, b"0\r\n\r\n", cap=FRAMING_LIMIT)[0].body) == FRAMING_LIMIT


def test_a_body_over_its_cap_is_cut_or_an_error_as_asked_and_one_of_just_its_cap_is_whole() -> None:
    assert read(LENGTH, cap=11, over="error")[0].body == b"hello world"
    reply, keep = read(LENGTH, cap=5, over="cut")
    assert (reply.body, keep) == (b"hello", False)
    with pytest.raises(httpx.RemoteProtocolError, match="longer than 10 bytes"):
        read(LENGTH, cap=10, over="error")


@pytest.mark.parametrize(
    "flood",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (HEADER_LIMIT + 1) + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * FRAMING_LIMIT + b"\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.1 100 Continue\r\n\r\n" * (INTERIM_LIMIT + 1) + LENGTH,
        b"HTTP/1.1 200 " + b"y" * FRAMING_LIMIT + b"y",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"y" * FRAMING_LIMIT,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * FRAMING_LIMIT,
    ],
    ids=["header count", "header bytes", "interim answers", "reason", "chunk extension", "trailer"],
)
@pytest.mark.parametrize("step", [1_000, 1_000_000])
def test_a_flood_of_anything_but_body_ends_at_a_limit(flood: bytes, step: int) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match=r"more (headers|interim)"):
        read(*(flood[at : at + step] for at in range(0, len(flood), step)))
