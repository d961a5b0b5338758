"""The whole site: the callback door first, then the routes made from the endpoints; every error a clear answer."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache

import orjson
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.domain.errors import CallerError, KeyMissing, NotFound, Unavailable
from service.parts import Parts
from service.web import admin, answers, feed, history, live, openapi, repair, subscriptions, tasks
from service.web.bodies import Bodies
from service.web.callbacks import PATH, CallbackDoor
from service.web.endpoints import BodyTooLarge, BodyTooSlow, Call, Endpoint, read_body, read_query
from service.web.guard import Guard
from service.web.hub import Hub

log = logging.getLogger("callsheet.web")

ENDPOINTS: tuple[Endpoint, ...] = (
    *tasks.ENDPOINTS,
    *history.ENDPOINTS,
    *feed.ENDPOINTS,
    *subscriptions.ENDPOINTS,
    *repair.ENDPOINTS,
    *admin.ENDPOINTS,
)

Ready = Callable[[], Awaitable[dict[str, str]]]
"""What is wrong, by part; empty: ready."""
Handle = Callable[[Request], Awaitable[Response]]


def site(parts: Parts, guard: Guard, ready: Ready, mounts: Sequence[Mount] = ()) -> "Front":
    document, page = _spec(parts.public_url)
    bodies = Bodies()

    async def healthz(_: Request) -> Response:
        return answers.json({"ok": True})

    async def readyz(_: Request) -> Response:
        wrong = await ready()
        return answers.json(
            {"ready": not wrong, "wrong": wrong}, 503 if wrong else 200, {"Retry-After": "1"} if wrong else None
        )

    stream = live.Live(parts)

    async def metrics(_: Request) -> Response:
        parts.metrics.live_readers(stream.hub.reader_count)
        return Response(parts.metrics.text(), media_type="text/plain; version=0.0.4")

    async def spec(_: Request) -> Response:
        return Response(document, media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(page)

    routes: list[Route | Mount] = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/openapi.json", spec),
        Route("/docs", docs),
        *repair.well_known(parts),
        *_routes(parts, guard, bodies),
        *mounts,
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            404: lambda _r, _e: answers.problem(404, "not-found", "there is nothing here; see /docs"),
            405: _not_allowed,
            Exception: _bug,
        },
    )
    app.state.guard = guard
    open_stream = _handler(parts, guard, bodies, {"GET": stream.endpoint})
    return Front(CallbackDoor(parts, bodies), stream.hub, open_stream, _fixed(parts, guard, bodies), app)


@cache
def _spec(public_url: str) -> tuple[bytes, str]:
    """Made of what is fixed, in a twentieth of a second: once, however often a process of tests builds its site."""
    return orjson.dumps(openapi.document(ENDPOINTS, public_url)), openapi.page(ENDPOINTS)


class Front:
    """Callbacks are the hot path: they are not routed, they are recognised. So are orders, and whatever else has a path
    without names in it; and live readers: a router's frames and its request would be kept for each as long as it stays."""

    def __init__(
        self,
        callbacks: CallbackDoor,
        hub: Hub,
        open_stream: Handle,
        fixed: Mapping[tuple[str, str], Handle],
        rest: ASGIApp,
    ) -> None:
        """`fixed`: who answers, by method and path."""
        self.callbacks, self._open_stream, self._fixed, self._rest = callbacks, open_stream, fixed, rest
        self.hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PATH):
            await self.callbacks(scope, receive, send)
        elif live.wanted(scope):
            await self._answer(self._open_stream, scope, receive, send)
        elif scope["type"] == "http" and (handle := self._fixed.get((scope["method"], scope["path"]))) is not None:
            await self._answer(handle, scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    async def _answer(self, handle: Handle, scope: Scope, receive: Receive, send: Send) -> None:
        """Nobody above catches what goes wrong before the first byte."""
        request = Request(scope, receive)
        try:
            response = await handle(request)
        except Exception as error:
            response = _bug(request, error)
        await response(scope, receive, send)


def _fixed(parts: Parts, guard: Guard, bodies: Bodies) -> dict[tuple[str, str], Handle]:
    """The endpoints whose paths are what they say."""
    return {
        (each.method, each.path): _handler(parts, guard, bodies, {each.method: each})
        for each in ENDPOINTS
        if "{" not in each.path
    }


def _routes(parts: Parts, guard: Guard, bodies: Bodies) -> list[Route]:
    """One route for each path: the methods it knows are the endpoints that share it."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [Route(path, _handler(parts, guard, bodies, methods), methods=list(methods)) for path, methods in by_path.items()]


def _handler(parts: Parts, guard: Guard, bodies: Bodies, methods: dict[str, Endpoint]) -> Handle:
    async def handle(request: Request) -> Response:
        endpoint = methods["GET" if request.method == "HEAD" else request.method]
        began = time.perf_counter()
        response = await _answer(parts, guard, bodies, endpoint, request)
        log.info(
            "http",
            extra={
                "method": endpoint.method,
                "route": endpoint.path,  # never the path itself
                "status": response.status_code,
                "elapsed_ms": round((time.perf_counter() - began) * 1000, 1),
            },
        )
        return response

    return handle


async def _answer(parts: Parts, guard: Guard, bodies: Bodies, endpoint: Endpoint, request: Request) -> Response:
    try:
        if endpoint.method != "GET" and parts.is_crowded():
            raise Unavailable("too much at once")  # before anything is read or looked up
        caller = await guard.caller(request.headers.get("authorization"), request.headers.get("callsheet-app"))
        if caller is None:
            why = "send `Authorization: Bearer <key>`; a first run in development prints a key"
            return answers.problem(401, "unauthorized", why, headers={"WWW-Authenticate": "Bearer"})
        if not caller.may(endpoint.scope):
            return answers.problem(403, "forbidden", f"this key may not do that: it needs the scope {endpoint.scope!r}")
        if any("\x00" in part for part in request.path_params.values()):
            raise NotFound("there is no such thing: no name holds a NUL, and no database takes one")
        query = read_query(request, endpoint)
        with bodies.holding() as held:
            body = await read_body(request, endpoint, held)
            return await endpoint.handle(Call(parts, caller, request, request.path_params, query, body))
    except BodyTooLarge as error:
        return answers.problem(413, "too-large", str(error), headers={"Connection": "close"})
    except BodyTooSlow:
        return answers.problem(408, "too-slow", "the body did not arrive in time", headers={"Connection": "close"})
    except ClientDisconnect:
        return Response(status_code=400)
    except (CallerError, KeyMissing, Unavailable, ValidationError) as error:
        response = answers.of_error(error)
        assert response is not None
        return response


def _not_allowed(request: Request, error: Exception) -> Response:
    allowed = getattr(error, "headers", None) or {}
    return answers.problem(405, "method-not-allowed", f"this path does not know {request.method}", headers=allowed)


def _bug(_: Request, error: Exception) -> Response:
    log.error("http.failed", exc_info=error)
    return answers.problem(500, "bug", "something unexpected happened; it was logged")
