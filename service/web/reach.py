"""The signed self-call: whoever has the signing keys can ask through the public URL whether it leads to this very process.

It lives behind the callback door's path, because that path alone is what a proxy has to let through. A token that does not
open answers as any wrong token does.
"""

import secrets

import orjson

from service.signing import CallbackTokens

ASKED = "reach"
"""Takes a provider's place in the token; no gateway has this name."""


class Reach:
    def __init__(self, tokens: CallbackTokens) -> None:
        self._tokens = tokens
        self.process = secrets.token_hex(8)

    def answer(self, token: str) -> bytes | None:
        number = self._tokens.open(ASKED, token)
        if number is None:
            return None
        return orjson.dumps({"process": self.process, "proof": self._tokens.mint(f"{ASKED}-{self.process}", number)})


def question(tokens: CallbackTokens) -> tuple[str, int]:
    """(path, number) of a new question."""
    number = secrets.randbits(62)
    return f"/callbacks/{ASKED}/{tokens.mint(ASKED, number)}", number


def process_of(tokens: CallbackTokens, number: int, body: bytes) -> str | None:
    """Which process answered; None: somebody without our keys."""
    try:
        match orjson.loads(body):
            case {"process": str(process), "proof": str(proof)} if tokens.open(f"{ASKED}-{process}", proof) == number:
                return process
    except orjson.JSONDecodeError:
        pass
    return None
