"""Speaks HTTP to the running service, as any caller does. The database is never opened from here."""

import os
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from service.settings import reach
from service.wire import retry_after_s

ANSWER_WITHIN_S = 30.0
"""Longer than any answer that was not asked to wait."""
CONNECT_WITHIN_S = 5.0
PAGE = 200
"""The most that one page of a list carries."""
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Before each repetition of what may be repeated: long enough for a service that restarts."""
AGAIN = (429, 502, 503, 504)


class Trouble(Exception):
    """A failure with everything that its reader needs: what, why, each wrong field."""

    def __init__(self, title: str, detail: str = "", faults: Sequence[tuple[str, str]] = (), kind: str = "failed") -> None:
        super().__init__(title)
        self.problem: dict[str, Any] = {
            "type": f"about:{kind}",
            "title": title,
            "detail": detail,
            "errors": [{"field": field, "message": message} for field, message in faults],
        }

    def lines(self) -> list[str]:
        match self.problem:
            case {"title": title, "detail": detail, "errors": errors}:
                first = f"{title}: {detail}" if detail else title
                return [first, *(f"  {e.get('field')}: {e.get('message')}" for e in errors)]
            case _:
                return [str(self)]


@contextmanager
def opened(url: str | None, key: str | None, app: str | None) -> Iterator["Ask"]:
    found = reach(os.environ)
    where = (url or found.url).rstrip("/")
    # A key that a first run made belongs to this machine: it is not shown to whoever an address typed by hand leads to.
    known = found.key if key is None and not (found.kept and url and not here(url)) else key
    if not known:
        raise Trouble(
            "No key",
            "set CALLSHEET_API_KEY, or give --key; a first run in development keeps one beside its database",
            kind="key",
        )
    headers = {"Authorization": f"Bearer {known}", "User-Agent": "callsheet-cli"} | ({"Callsheet-App": app} if app else {})
    # Loading the certificates of the world takes longer than a request; plain HTTP needs none of them.
    context: ssl.SSLContext | bool = where.startswith("https") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    timeout = httpx.Timeout(ANSWER_WITHIN_S, connect=CONNECT_WITHIN_S)
    try:
        http = httpx.Client(base_url=where, headers=headers, timeout=timeout, trust_env=not here(where), verify=context)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise Trouble(
            "The address or the key cannot be used", "both are plain text, the address like http://host:port"
        ) from None
    with http:
        yield Ask(http, where, app or "default")


def here(url: str) -> bool:
    """On this machine: no proxy stands between."""
    try:
        return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False


class Ask:
    """A running service, asked."""

    def __init__(self, http: httpx.Client, url: str, app: str) -> None:
        self._http, self.url, self.app = http, url, app

    def get(self, path: str, wait_s: int = 0, **query: Any) -> Any:
        """`wait_s`: let the service answer at the next change, or after this long; it may even restart meanwhile."""
        if not wait_s:
            return self._answer("GET", path, params=query)
        headers = {"Prefer": f"wait={wait_s}"}
        return self._answer("GET", path, params=query, headers=headers, timeout_s=ANSWER_WITHIN_S + wait_s, pauses_s=PAUSES_S)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        return self._answer("POST", path, json=body or {}, params=query)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._answer("PATCH", path, json=body)

    def delete(self, path: str) -> None:
        self._answer("DELETE", path)

    def place(self, body: Mapping[str, Any], idempotency_key: str) -> Any:
        """The one write that is repeated when its answer gets lost: its key makes that safe."""
        headers = {"Idempotency-Key": idempotency_key}
        return self._answer("POST", "/v1/tasks", json=body, headers=headers, pauses_s=PAUSES_S, hasty=True)

    def pages(self, path: str, limit: int, **query: Any) -> dict[str, Any]:
        """One list document out of as many pages as it takes."""
        data: list[Any] = []
        cursor: str | None = query.pop("cursor", None)
        while True:
            page = self.get(path, limit=min(PAGE, limit - len(data)), cursor=cursor, **query)
            data += page["data"]
            cursor = page["next"]
            if cursor is None or len(data) >= limit:
                return {"object": "list", "data": data, "next": cursor}

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str], silence_s: float, **query: Any) -> Iterator[httpx.Response]:
        """An answer without an end. `silence_s`: a connection this quiet is dead."""
        timeout = httpx.Timeout(silence_s, connect=CONNECT_WITHIN_S)
        with self._http.stream("GET", path, headers=headers, params=_given(query), timeout=timeout) as answer:
            if not answer.is_success:
                answer.read()
                raise refused(answer)
            if not answer.headers.get("content-type", "").startswith(headers["Accept"]):
                raise Trouble("That is not what was asked for", f"{path} gives no {headers['Accept']} here", kind="foreign")
            yield answer

    def _answer(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = ANSWER_WITHIN_S,
        pauses_s: Sequence[float] = (),
        hasty: bool = False,
    ) -> Any:
        """`pauses_s`: before each repetition. `hasty`: where nobody listens to begin with, that is the answer."""
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_WITHIN_S)
        for turn, pause_s in enumerate((*pauses_s, None)):
            try:
                answer = self._http.request(method, path, json=json, params=_given(params), headers=headers, timeout=timeout)
            except httpx.TransportError as error:
                if pause_s is None or (hasty and turn == 0 and isinstance(error, httpx.ConnectError)):
                    raise self.silent(error) from None
            else:
                if answer.is_success:
                    return answer.json() if answer.content else None
                if pause_s is None or answer.status_code not in AGAIN:
                    raise refused(answer)
                pause_s = max(pause_s, min(retry_after_s(answer.headers, time.time_ns() // 1_000_000) or 0, PAUSES_S[-1]))
            time.sleep(pause_s)
        raise AssertionError("the last turn answers or raises")

    def silent(self, error: httpx.TransportError) -> Trouble:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return Trouble(
                f"Nobody answers at {self.url}",
                "start the service with `callsheet serve`, or say where it is: --url",
                kind="away",
            )
        return Trouble(f"{self.url} did not answer", f"{type(error).__name__}; whether it acted is not known", kind="silent")


def refused(answer: httpx.Response) -> Trouble:
    """What the service says about it, in its own words."""
    trouble = Trouble(
        f"HTTP {answer.status_code}", "the answer is not one of Callsheet's; is this its address?", kind="foreign"
    )
    try:
        match answer.json():
            case {"title": str(), "detail": str(), "errors": list()} as problem:
                trouble.problem = problem
    except ValueError:
        pass
    return trouble


def _given(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}
