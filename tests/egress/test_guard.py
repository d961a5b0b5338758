"""Where a request may lead. No test here dials anything: the connector only counts."""

from ipaddress import ip_address, ip_network
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.egress import BlockedAddress, Guard, exchange
from service.egress.guard import literal
from tests.egress.peer import Names, NoDial, post, transport

# fmt: off
PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.8.8.8",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:1ff::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "3fff:fff::1",
    "fc00::1", "fd00::1", "fec0::1", "ff02::1", "4000::1",
]
METADATA = [
    "169.254.0.1", "169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::", "::169.254.169.254", "fe80::1", "fe80::1%lo",
    "febf::1", "fd00:ec2::254", "fd20:ce::254", "::ffff:168.63.129.16",
]
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
    "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
    "223.255.255.255", "168.63.129.15", "::ffff:8.8.8.8", "64:ff9b::808:808", "2001:200::1", "2606:4700::1111",
    "2a00:1450::1",
]
NUMBERS = [
    "2130706433", "0x7f000001", "127.1", "127.0.1", "0x7f.1", "017700000001", "0", "1", "2852039166",
]
# fmt: on


@pytest.mark.parametrize("text", PRIVATE + METADATA)
def test_a_private_or_reserved_address_is_forbidden(text: str) -> None:
    assert Guard().verdict(ip_address(text)) is not None


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_not(text: str) -> None:
    assert Guard().verdict(ip_address(text)) is None


@pytest.mark.parametrize("text", METADATA)
def test_no_allow_list_opens_link_local_or_metadata(text: str) -> None:
    everything = Guard([ip_network("0.0.0.0/0"), ip_network("::/0"), ip_network("169.254.0.0/16")])
    assert everything.verdict(ip_address(text)) == "leads to a link-local or metadata address"


@pytest.mark.parametrize("text", PRIVATE)
def test_an_allow_list_opens_what_is_private(text: str) -> None:
    assert Guard([ip_network("0.0.0.0/0"), ip_network("::/0")]).verdict(ip_address(text)) is None


def test_an_allowed_network_opens_itself_and_no_other() -> None:
    guard = Guard([ip_network("10.1.0.0/16")])
    assert guard.verdict(ip_address("10.1.2.3")) is None
    assert guard.verdict(ip_address("::ffff:10.1.2.3")) is None
    assert guard.verdict(ip_address("10.2.0.1")) is not None
    assert guard.verdict(ip_address("127.0.0.1")) is not None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_every_form_that_reaches_it(address: Any) -> None:
    verdict = Guard().verdict(address)
    assert Guard().verdict(ip_address(f"::ffff:{address}")) == verdict
    assert Guard().verdict(ip_address(int(ip_address("64:ff9b::")) + int(address))) == verdict


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_read_as_the_address_it_means(text: str) -> None:
    address = literal(text)
    assert address is not None
    assert Guard().verdict(address) is not None


@pytest.mark.parametrize("text", ["example.com", "1.2.3.4.5", "beef", "127.0.0.1.example.com", "a b", "büro"])
def test_a_name_is_no_number(text: str) -> None:
    assert literal(text) is None


@pytest.mark.parametrize(
    ("scheme", "port", "http", "opens"),
    [
        ("https", 443, False, True),
        ("https", 8443, False, False),
        ("https", 22, True, False),
        ("https", 80, True, False),
        ("http", 80, False, False),
        ("http", 80, True, True),
        ("http", 443, True, False),
        ("http", 8080, True, False),
    ],
)
def test_only_the_webs_own_ports_are_open_to_the_public(scheme: str, port: int, http: bool, opens: bool) -> None:
    assert (Guard(http=http).refusal(scheme, port, [ip_address("8.8.8.8")]) is None) is opens


def test_an_allowed_network_may_be_reached_at_any_port_unless_a_public_address_is_among_them() -> None:
    guard = Guard([ip_network("10.0.0.0/8")])
    assert guard.refusal("http", 8080, [ip_address("10.0.0.1"), ip_address("::ffff:10.0.0.2")]) is None
    assert guard.refusal("http", 8080, [ip_address("10.0.0.1"), ip_address("8.8.8.8")]) is not None
    assert guard.refusal("https", 443, [ip_address("10.0.0.1"), ip_address("8.8.8.8")]) is None


def bracketed(text: str) -> str:
    return f"[{text.replace('%', '%25')}]" if ":" in text else text


@pytest.mark.anyio
async def test_no_forbidden_address_is_dialled_however_it_is_written() -> None:
    """Guards: the check between resolving and connecting. Without it every line here dials."""
    names = Names({f"name{i}.test": [text] for i, text in enumerate(PRIVATE + METADATA)})
    hosts = [bracketed(text) for text in PRIVATE + METADATA] + NUMBERS + list(names.names) + ["LOCALHOST", "localhost."]
    names.names |= {"localhost": ["::1", "127.0.0.1"], "localhost.": ["127.0.0.1"]}
    connector = NoDial()
    async with transport(Guard(http=True), resolve=names, connect=connector) as out:
        for host in hosts:
            for scheme in ("https", "http"):
                with pytest.raises(BlockedAddress) as refused:
                    await exchange(out, post(f"{scheme}://{host}/"), total_s=1, cap=1)
                assert refused.value.code == "blocked_address"
    assert connector.dialled == []


@pytest.mark.anyio
async def test_one_forbidden_address_among_good_ones_refuses_all() -> None:
    connector = NoDial()
    names = Names({"mixed.test": ["8.8.8.8", "2606:4700::1111", "10.0.0.1"]})
    async with transport(Guard(), resolve=names, connect=connector) as out:
        with pytest.raises(BlockedAddress):
            await exchange(out, post("https://mixed.test/"), total_s=1, cap=1)
    assert connector.dialled == []


@pytest.mark.anyio
async def test_a_name_that_turns_private_after_it_was_checked_is_refused_and_each_dial_asks_once() -> None:
    connector, names = NoDial(), Names({"rebind.test": ["8.8.8.8"]})
    async with transport(Guard(), resolve=names, connect=connector) as out:
        with pytest.raises(httpx.ConnectError, match="Connection refused"):
            await exchange(out, post("https://rebind.test/"), total_s=1, cap=1)
        names.names["rebind.test"] = ["127.0.0.1"]
        with pytest.raises(BlockedAddress):
            await exchange(out, post("https://rebind.test/"), total_s=1, cap=1)
    assert names.asked == ["rebind.test"] * 2
    assert connector.dialled == [("8.8.8.8", 443, "rebind.test")]


@pytest.mark.anyio
async def test_checked_addresses_are_dialled_in_turn_and_by_number_with_the_names_certificate() -> None:
    connector = NoDial()
    names = Names({"many.test": ["2606:4700::1111", "1.1.1.1", "1.1.1.1", "8.8.8.8", "8.8.4.4", "9.9.9.9"]})
    async with transport(Guard(), resolve=names, connect=connector) as out:
        with pytest.raises(httpx.ConnectError):
            await exchange(out, post("https://many.test/"), total_s=1, cap=1)
    assert connector.dialled == [(a, 443, "many.test") for a in ("2606:4700::1111", "1.1.1.1", "8.8.8.8", "8.8.4.4")]


@pytest.mark.anyio
async def test_a_trusted_request_skips_the_guard_and_a_guarded_one_beside_it_does_not() -> None:
    connector = NoDial()
    async with transport(Guard(), connect=connector) as out:
        with pytest.raises(httpx.ConnectError, match="Connection refused"):
            await exchange(out, post("http://127.0.0.1:9000/", trusted=True), total_s=1, cap=1)
        with pytest.raises(BlockedAddress):
            await exchange(out, post("http://127.0.0.1:9000/"), total_s=1, cap=1)
    assert connector.dialled == [("127.0.0.1", 9000, "127.0.0.1")]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url", ["ftp://example.test/", "file:///etc/passwd", "https:///nowhere", "/relative", "gopher://127.0.0.1/"]
)
async def test_what_is_no_web_address_never_leaves(url: str) -> None:
    connector, names = NoDial(), Names({})
    async with transport(Guard(), resolve=names, connect=connector) as out:
        with pytest.raises(httpx.ConnectError):
            await exchange(out, post(url, trusted=True), total_s=1, cap=1)
    assert (connector.dialled, names.asked) == ([], [])


@pytest.mark.anyio
async def test_a_refusal_names_neither_the_url_nor_the_address() -> None:
    connector = NoDial()
    async with transport(Guard(), resolve=Names({"inner.test": ["10.20.30.40"]}), connect=connector) as out:
        with pytest.raises(BlockedAddress) as refused:
            await exchange(out, post("https://inner.test/services/T0/B0/s3cret"), total_s=1, cap=1)
    assert not any(word in repr(refused.value) for word in ("s3cret", "inner", "10.20"))
