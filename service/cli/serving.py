"""Runs the service: HTTP with the loops or without, or the loops alone. Whatever hinders a start is said in words."""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

import uvicorn
import uvloop
from sqlalchemy.exc import SQLAlchemyError

from service.app import App
from service.cli.front import Bounded
from service.cli.listening import BACKLOG, cannot_listen, doors, listener
from service.cli.verb import Out, told
from service.domain.errors import ConfigError, Unavailable
from service.log import configure
from service.settings import Settings, load

KEEP_ALIVE_S = 75
"""Longer than the pause between two callbacks of a busy provider: a shorter one resets its kept connections."""
FILES = 65_536
"""Open files: every connection in and out."""
TURN_S = 0.0005
"""A thread that has an answer of the database waits so long for the interpreter while the loop is busy: for each statement, and
by default ten times as long."""
GRACE_S = 10
"""For answers under way after SIGTERM; the loops have their own bound after that."""
EXPECTED = (ConfigError, Unavailable, OSError, SQLAlchemyError)
"""What an operator can mend. Anything else is a bug and keeps its traceback."""


class Server(uvicorn.Server):
    def __init__(self, app: App, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._app, self._told = app, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        theirs = logging.getLogger("uvicorn.error")
        theirs.setLevel(logging.CRITICAL)  # a failed start is told once, by us
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn's word for a lifespan that failed; the reason is the application's
            self.should_exit = True
            return
        finally:
            theirs.setLevel(logging.NOTSET)
        freeze()
        self._told()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._app.hang_up()
        await super().shutdown(sockets)


def serve(settings: Settings, env: Mapping[str, str], loops: bool, out: Out) -> None:
    with listener(settings.host, settings.port) as listening, doors(listening) as all_doors:
        configure()
        port = listening.getsockname()[1]
        if settings.port == 0:
            settings = load({**env, "PORT": str(port)})
        app = App(settings, loops=loops)
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=Bounded,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,  # paths hold callback tokens
            proxy_headers=False,  # nobody asks who the client is
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            backlog=BACKLOG,
        )
        make_room()
        url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{port}"
        signal.signal(signal.SIGTERM, _ended)  # uvicorn drains first and raises it then
        server = Server(app, config, lambda: out.show({"object": "service", "url": url}, [f"Callsheet listens at {url}"]))
        try:
            server.run(all_doors)
        except KeyboardInterrupt:
            return
        except OSError as error:
            raise cannot_listen(settings.host, port, error) from None
    if app.failure is not None:
        raise app.failure if not isinstance(app.failure, EXPECTED) else told(app.failure)


def work(settings: Settings, out: Out) -> None:
    configure()
    make_room()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(settings, out))


async def _work(settings: Settings, out: Out) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        stopping.set()
        for each in signals:
            loop.remove_signal_handler(each)  # a second one ends it at once

    for each in signals:
        loop.add_signal_handler(each, stop)
    running = App(settings, web=False).run()
    try:
        await running.__aenter__()
    except EXPECTED as error:
        raise told(error) from None
    freeze()
    out.show({"object": "worker"}, ["The loops run. SIGTERM or Ctrl-C: they finish what is under way."])
    try:
        await stopping.wait()
    finally:
        await running.__aexit__(None, None, None)


def freeze() -> None:
    """What was made for good is not looked at again by every collection of garbage."""
    gc.collect()
    gc.freeze()


def make_room() -> None:
    """For threads beside the loop, and for connections: each is an open file; many systems begin with 1,024 and allow more."""
    sys.setswitchinterval(TURN_S)
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _ended(*_: object) -> NoReturn:
    sys.exit(0)
