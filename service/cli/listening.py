"""Takes the address to listen on, or says why it cannot be had."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from service.cli.client import Trouble

BACKLOG = 4_096
"""Connections that wait to be taken: as many as systems commonly allow."""
DOORS = 32
"""Connections taken in one turn of the loop: uvloop (libuv since 1.45) takes one for each listening descriptor, so that a busy
loop would let a crowd wait before its door, where nobody can turn it away, until the kernel drops it for seconds."""


def listener(host: str, port: int) -> socket.socket:
    """Taken before anything else is: a busy port is the likeliest hindrance."""
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
        taken.listen(BACKLOG)  # now: two may hold one address until one of them listens, and uvloop does not say that it cannot
    except OSError as error:
        taken.close()
        raise cannot_listen(host, port, error) from None
    return taken


@contextmanager
def doors(listening: socket.socket) -> Iterator[list[socket.socket]]:
    """The same address by so many descriptors."""
    with ExitStack() as stack:
        yield [listening, *(stack.enter_context(listening.dup()) for _ in range(DOORS - 1))]


def cannot_listen(host: str, port: int, error: OSError) -> Trouble:
    advice = "If a Callsheet runs there, use or end that one; or choose another port with --port or PORT"
    return Trouble(f"Cannot listen on {host}, port {port}", f"{error.strerror or error}. {advice}", kind="listen")
