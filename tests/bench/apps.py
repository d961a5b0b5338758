"""What the benches serve: the product without its loops, or with them, and the baselines."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp


def noop() -> ASGIApp:
    """The baseline: a Starlette route that reads its body."""

    async def callback(request: Request) -> Response:
        await request.body()
        return Response(b'{"ok":true}', media_type="application/json")

    return Starlette(routes=[Route("/callbacks/{provider}/{token}", callback, methods=["POST"])])


def product() -> ASGIApp:
    from service.app import App  # here: the baseline's start is without it
    from service.cli.serving import freeze
    from service.settings import load

    app = App(load(), loops=os.environ.get("BENCH_LOOPS") == "1")
    freeze()  # as the command does
    return app
