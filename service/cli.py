"""The command line."""

import sys

import uvicorn

from service.app import App
from service.log import configure
from service.settings import load


def main() -> None:
    configure()
    s = load()
    uvicorn.run(
        App(s),
        host=s.host,
        port=s.port,
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    sys.exit(0)
