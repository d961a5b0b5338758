"""From a name to an open connection: look up once, check every address, connect to a checked one.

Whatever fails here fails before a byte of the request could leave, and is a `ConnectError` or a `ConnectTimeout`.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address

import httpx

from service.egress.connection import Connection
from service.egress.guard import Address, Guard, literal
from service.egress.pool import Place

ADDRESS_LIMIT = 4
"""Addresses of one host that are dialled, each with its share of the time: one dead address must not use it all up."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses as text; raises OSError."""
Connect = Callable[[str, int, ssl.SSLContext | None, str], Awaitable[Connection]]
"""Address, port, TLS (None: plain) and the name that the certificate has to carry; raises OSError."""


class BlockedAddress(httpx.ConnectError):
    """The guard refused where it leads; the message says why, never where."""

    code = "blocked_address"


class Resolver:
    """The system's resolver on threads of its own. A look-up cannot be interrupted: on the loop's shared threads (six on
    two cores) a few names with dead name servers would hold up everybody else's."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [str(entry[4][0]) for entry in found]

    def close(self) -> None:
        self._threads.shutdown(wait=False)


async def connect(address: str, port: int, tls: ssl.SSLContext | None, name: str) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        Connection, address, port, ssl=tls, server_hostname=name if tls is not None else None
    )
    return connection


async def dial(
    place: Place, guard: Guard, resolve: Resolve, connect: Connect, tls: ssl.SSLContext | None, deadline: float
) -> Connection:
    """A fresh connection to one of the place's addresses before the deadline, in the loop's time."""
    addresses = await _addresses(place, resolve, deadline)
    if not place.trusted and (reason := guard.refusal(place.scheme, place.port, addresses)):
        raise BlockedAddress(reason)
    loop = asyncio.get_running_loop()
    failure: httpx.TransportError = httpx.ConnectError("the name has no address")
    addresses = addresses[:ADDRESS_LIMIT]
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        now = loop.time()
        try:
            async with asyncio.timeout_at(now + (deadline - now) / left):
                return await connect(str(address), place.port, tls, place.host)
        except TimeoutError:
            failure = httpx.ConnectTimeout("not connected in time")
        except (OSError, ValueError, OverflowError) as error:
            failure = httpx.ConnectError(_cause(error))
    raise failure


async def _addresses(place: Place, resolve: Resolve, deadline: float) -> list[Address]:
    if (address := literal(place.host)) is not None:
        return [address]
    try:
        async with asyncio.timeout_at(deadline):
            found = await resolve(place.host, place.port)
        return [ip_address(text) for text in dict.fromkeys(found)]
    except TimeoutError:
        raise httpx.ConnectTimeout("the name was not resolved in time") from None
    except (OSError, ValueError) as error:  # UnicodeError, for what is no host name at all, is a ValueError
        raise httpx.ConnectError(f"the name cannot be resolved: {_cause(error)}") from None


def _cause(error: Exception) -> str:
    """In the system's words, without addresses."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"certificate refused: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS: {error.reason or 'handshake failed'}"
        case OSError() if error.errno is not None and error.strerror and "(" not in error.strerror:
            return error.strerror
        case _:
            return type(error).__name__
