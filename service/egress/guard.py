"""Where a subscriber's URL may lead, as explicit lists.

`ipaddress.is_global` is not asked: it lets multicast, NAT64 and 6to4 forms of private addresses through, and knows of no
cloud's metadata service. Strings are not judged either, only addresses: a name can turn into anything.
"""

import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ip_network(word) for word in text.split())


_NEVER = _networks(
    "169.254.0.0/16 fe80::/10 "  # link-local: AWS, GCP, Azure and most others answer for metadata here
    "168.63.129.16/32 "  # Azure's wire server, in public space
    "100.100.100.200/32 192.0.0.192/32 "  # metadata at Alibaba and Oracle, inside networks one may well want to open
    "fd00:ec2::254/128 fd20:ce::254/128"  # metadata at AWS and GCP over IPv6
)
"""Opened by nothing: whoever reads these holds the machine's own credentials."""

_FORBIDDEN_V4 = _networks(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 "
    "192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
)
_PUBLIC_V6 = IPv6Network("2000::/3")
_FORBIDDEN_V6 = _networks("2001::/23 2001:db8::/32 2002::/16 3fff::/20")
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")
_LOW_32 = 0xFFFFFFFF

PLAIN_PORT, TLS_PORT = 80, 443
"""The only ports open to the public: anything else is somebody's database."""


def literal(host: str) -> Address | None:
    """The address that a host is, in any form that resolvers read as a number (`127.1`, `0x7f000001`); None for names."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _unwrapped(address: Address) -> Address:
    """The IPv4 host that a mapped or translated address really reaches."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64[0]:
            return IPv4Address(int(address) & _LOW_32)
    return address


def _faces(address: Address) -> Iterator[Address]:
    """The address and every IPv4 address that some gateway could find in it."""
    yield address
    if isinstance(address, IPv6Address):
        if address.sixtofour is not None:
            yield address.sixtofour
        if address in _COMPATIBLE or any(address in network for network in _NAT64):
            yield IPv4Address(int(address) & _LOW_32)


class Guard:
    """`allow` opens networks that are otherwise forbidden, at any port and over plain http. `http` opens port 80 to all."""

    def __init__(self, allow: Sequence[Network] = (), *, http: bool = False) -> None:
        self._allow = tuple(allow)
        self._ports = {("https", TLS_PORT), ("http", PLAIN_PORT)} if http else {("https", TLS_PORT)}

    def verdict(self, address: Address) -> str | None:
        """Why it is forbidden; None: it is not."""
        address = _unwrapped(address)
        if any(face in network for face in _faces(address) for network in _NEVER):
            return "leads to a link-local or metadata address"
        if self._allowed(address):
            return None
        if isinstance(address, IPv4Address):
            public = not any(address in network for network in _FORBIDDEN_V4)
        else:
            public = address in _PUBLIC_V6 and not any(address in network for network in _FORBIDDEN_V6)
        return None if public else "leads to a private or reserved network"

    def refusal(self, scheme: str, port: int, addresses: Sequence[Address]) -> str | None:
        """Why a request to a host with these addresses may not leave. One forbidden address among them refuses all:
        which of them a later look-up would pick is the other side's choice."""
        for address in addresses:
            if reason := self.verdict(address):
                return reason
        if (scheme, port) in self._ports or all(self._allowed(_unwrapped(address)) for address in addresses):
            return None
        return "needs https on port 443" if len(self._ports) == 1 else "needs https on port 443 or http on port 80"

    def _allowed(self, address: Address) -> bool:
        return any(address in network for network in self._allow)
