"""One thing that the doctor looked at: what was found, and what to do about it."""

from dataclasses import asdict, dataclass

FINE, NOTE, WRONG = "fine", "note", "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    verdict: str
    found: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)
