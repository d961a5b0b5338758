"""The signed self-call: whoever has the signing keys can ask through the public URL which process of which database answers.

It lives behind the callback door's path, because that path alone is what a proxy has to let through. A token that does not
open answers as any wrong token does.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson

from service.signing import CallbackTokens

ASKED = "reach"
"""Takes a provider's place in the token; no gateway has this name."""


class Reach:
    def __init__(self, tokens: CallbackTokens, database: Callable[[], Awaitable[str]]) -> None:
        """`database`: asks it for its name, so that the answer proves that it can be reached, too."""
        self._tokens, self._database = tokens, database
        self.process = secrets.token_hex(8)

    async def answer(self, token: str) -> bytes | None:
        number = self._tokens.open(ASKED, token)
        if number is None:
            return None
        database = await self._database()
        proof = self._tokens.mint(f"{ASKED}-{self.process}-{database}", number)
        return orjson.dumps({"process": self.process, "database": database, "proof": proof})


@dataclass(frozen=True, slots=True)
class Answered:
    process: str
    database: str


def question(tokens: CallbackTokens) -> tuple[str, int]:
    """(path, number) of a new question."""
    number = secrets.randbits(62)
    return f"/callbacks/{ASKED}/{tokens.mint(ASKED, number)}", number


def answered(tokens: CallbackTokens, number: int, body: bytes) -> Answered | None:
    """Who answered; None: somebody without our keys."""
    try:
        match orjson.loads(body):
            case {"process": str(process), "database": str(database), "proof": str(proof)}:
                signed = tokens.open(f"{ASKED}-{process}-{database}", proof) == number
                return Answered(process, database) if signed else None
    except orjson.JSONDecodeError:
        pass
    return None
