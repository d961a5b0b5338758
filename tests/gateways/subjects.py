"""The gateways as an operator has them: one account each, Pixazo twice because its two APIs share nothing but a key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.providers.base import Callbacks, Facts
from service.providers.registry import GATEWAYS


@dataclass(frozen=True)
class Subject:
    label: str
    provider: str
    model: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What its orders say beside model and prompt: enough to show that parameters arrive."""
    account: str = "default"
    callbacks: Callbacks = Callbacks.NONE
    says_tokens: bool = True
    """The news of an ending says what was billed."""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def facts(self) -> Facts:
        return GATEWAYS[self.provider].facts

    @property
    def called(self) -> bool:
        return self.callbacks is not Callbacks.NONE


_SHAPE: Mapping[str, Any] = {"ratio": "4:3", "duration": 10, "resolution": "480p"}

SUBJECTS = (
    Subject("ark", "ark", "doubao-seedance-1-0-pro-250528", {**_SHAPE, "seed": 11}, callbacks=Callbacks.EVERY),
    Subject("byteplus", "byteplus", "seedance-1-0-pro-250528", {**_SHAPE, "camera_fixed": True}, callbacks=Callbacks.EVERY),
    Subject("agentsflare", "agentsflare", "seedance-1-0-lite-t2v-250428", _SHAPE),
    Subject("acedata", "acedata", "doubao-seedance-1-0-pro-250528", _SHAPE, callbacks=Callbacks.ENDINGS, says_tokens=False),
    Subject("yescale", "yescale", "seedance-1-0-pro-250528", _SHAPE),
    Subject("pixazo", "pixazo", "seedance-1-0-lite-t2v-250428", _SHAPE, callbacks=Callbacks.EVERY),
    Subject(
        "pixazo (v2)",
        "pixazo",
        "dreamina-seedance-2-0-260128",
        {**_SHAPE, "generate_audio": False},  # a word that the older API lacks: the order goes to the account that has it
        account="v2",
        says_tokens=False,
        options={"api": "v2"},
    ),
    Subject("apiyi", "apiyi", "doubao-seedance-2-0-260128", {**_SHAPE, "generate_audio": False}),
)
CALLED = tuple(subject for subject in SUBJECTS if subject.called)
ASKED = tuple(subject for subject in SUBJECTS if not subject.called)

SANDBOX = Subject("sandbox", "sandbox", "seedance-1-0-pro-250528", _SHAPE, callbacks=Callbacks.EVERY)
"""Has no account of its own: it is there when no other gateway is."""
