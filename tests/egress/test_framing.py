"""What leaves is the same whether it was a request of httpx or a plain POST; and nobody but us frames it."""

import httpx
import pytest

from service.egress.framing import posted, requested
from service.wire import Post

HEADERS = (("user-agent", "callsheet/1"), ("x-token", "t0ken"), ("Host", "inside.test"), ("Content-Length", "3"))


URLS = (
    "https://hook.test/a?b=%20c",
    "http://hook.test:8080",
    "http://[::1]:80/a",
    "https://HOOK.test:443/",
    "https://bücher.example:8443/ä?b=c",
)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("body", [b"", b'{"a":1}'])
def test_a_post_and_the_request_it_stands_for_are_the_same_bytes(url: str, body: bytes) -> None:
    post = Post(url, HEADERS[:2], body)
    plain, built = posted(post), requested(httpx.Request("POST", url, headers=list(HEADERS[:2]), content=body))
    lines, others = plain.head.split(b"\r\n"), built.head.split(b"\r\n")
    assert lines[:2] == others[:2]
    assert set(lines) <= set(others), "httpx's own request may say more, and nothing else"
    assert (plain.place, plain.body, plain.fresh, plain.bodiless) == (built.place, built.body, False, False)


def test_a_subscribers_headers_neither_name_another_host_nor_another_length() -> None:
    head = posted(Post("https://hook.test/", HEADERS, b"{}")).head
    assert head.lower().count(b"host:") == head.lower().count(b"content-length:") == 1
    assert b"Host: hook.test\r\n" in head
    assert head.endswith(b"Content-Length: 2\r\n\r\n")


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\ny", "a\ry", "a\0"])
def test_a_header_of_two_lines_never_leaves(value: str) -> None:
    with pytest.raises(httpx.ConnectError, match="line break"):
        posted(Post("https://hook.test/", (("x-a", value),), b"{}"))


@pytest.mark.parametrize("url", ["ftp://hook.test/", "https:///x", "hook.test"])
def test_what_is_no_web_address_is_not_dialled(url: str) -> None:
    with pytest.raises(httpx.ConnectError):
        posted(Post(url, (), b"{}"))
