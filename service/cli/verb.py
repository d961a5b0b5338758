"""What every verb shares: its common options, one document or a readable text, failures told one way, an exit code.

Exit codes: 0 done, 1 failed, 2 the command line itself was wrong. With `--json` exactly one JSON document goes to stdout,
the failure's own included; what is said on the way goes to stderr.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, ClassVar, TypeVar

import typer
from typer.core import TyperGroup

from service.cli.client import Ask, Trouble, opened
from service.cli.tables import clean
from service.domain.errors import ConfigError, Unavailable

Act = TypeVar("Act", bound=Callable[..., int | None])


def plain(name: str | None) -> str | None:
    """Goes into a path: what could lead elsewhere is no name."""
    if name is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name):
        raise typer.BadParameter(f"{name!r} is no name of anything here")
    return name


JSON = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, whatever happens.")]
URL = Annotated[str | None, typer.Option("--url", metavar="URL", help="Where the service is.")]
KEY = Annotated[str | None, typer.Option("--key", metavar="KEY", help="API key; better in CALLSHEET_API_KEY.")]
APP = Annotated[
    str | None, typer.Option("--app", metavar="APP", callback=plain, help="Act for this app (with the operator's key).")
]
_COMMON = {"as_json": (JSON, False), "url": (URL, None), "key": (KEY, None), "app": (APP, None)}


class Out:
    """Where a verb says what it has to say."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def show(self, document: Any, lines: Iterable[str]) -> None:
        """The answer, once: for programs or for people."""
        if self.as_json:
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        else:
            for line in lines:
                typer.echo(line)

    def note(self, line: str) -> None:
        """Progress; never part of the answer."""
        typer.echo(clean(line), err=True)

    def fail(self, trouble: Trouble) -> None:
        if self.as_json:
            typer.echo(json.dumps(trouble.problem, indent=2, ensure_ascii=False))
        for line in trouble.lines():
            typer.echo(clean(line), err=True)


class First(TyperGroup):
    """A group with a verb that goes without saying."""

    implied: ClassVar[str]

    @classmethod
    def of(cls, implied: str) -> type["First"]:
        return type("First", (cls,), {"implied": implied})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if (args or not self.no_args_is_help) and not {*args[:1]} & {*self.commands, "--help"}:
            args = [self.implied, *args]
        return super().parse_args(ctx, args)


def verb(group: typer.Typer, name: str | None = None, more: Sequence[inspect.Parameter] = ()) -> Callable[[Act], Act]:
    """Makes a function a command. Its parameters `out` and `ask` (a client of the running service) are given to it; the
    options that belong to them are added to its own, and so are those of `more`."""

    def register(act: Act) -> Act:
        asks = "ask" in inspect.signature(act).parameters

        def run(as_json: bool, **given: Any) -> None:
            out = Out(as_json)
            try:
                if asks:
                    where = [given.pop(name) for name in ("url", "key", "app")]
                    with opened(*where) as ask:
                        code = act(ask=ask, out=out, **given)
                else:
                    code = act(out=out, **given)
            except BrokenPipeError:
                raise  # whoever read our answer has read enough
            except (Trouble, ConfigError, Unavailable, OSError) as error:
                out.fail(told(error))
                code = 1
            raise typer.Exit(code or 0)

        own = [
            p
            for p in inspect.signature(act).parameters.values()
            if p.annotation not in (Ask, Out) and p.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        shared = ("as_json", "url", "key", "app") if asks else ("as_json",)
        added = [
            inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for each, (kind, default) in _COMMON.items()
            if each in shared
        ]
        parameters = [*(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *more, *added]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        run.__doc__ = act.__doc__
        group.command(name or act.__name__)(run)
        return act

    return register


def told(error: BaseException) -> Trouble:
    match error:
        case Trouble():
            return error
        case ConfigError(faults=faults):
            found = [(f.field, f.message) for f in faults]
            return Trouble("The settings cannot be used as they are", "", found, kind="settings")
        case Unavailable():
            return Trouble("The database cannot be used now", str(error), kind="unavailable")
        case OSError(strerror=str(what), filename=str(where)):
            return Trouble(f"{where}: {what}")
        case _:
            first = (str(error).splitlines() or [""])[0]
            return Trouble(type(error).__name__, re.sub(r"^\([\w.]+\) ", "", first)[:500])  # the driver's class says nothing
