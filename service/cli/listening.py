"""Takes the address to listen on, or says why it cannot be had."""

import socket

from service.cli.client import Trouble


def listener(host: str, port: int) -> socket.socket:
    """Taken before anything else is: a busy port is the likeliest hindrance."""
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise cannot_listen(host, port, error) from None
    return taken


def cannot_listen(host: str, port: int, error: OSError) -> Trouble:
    advice = "If a Callsheet runs there, use or end that one; or choose another port with --port or PORT"
    return Trouble(f"Cannot listen on {host}, port {port}", f"{error.strerror or error}. {advice}", kind="listen")
