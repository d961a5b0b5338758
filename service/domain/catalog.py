"""The catalog: which family a model id belongs to, what is wrong with an order, and what it will cost.

Model ids are configuration: vendors date them, gateways rename them, and an operator's endpoint (`ep-…`) says nothing
about itself. An id nobody here knows passes with a warning; only what holds for every model is held against it. Absent:
what a gateway cannot do (its own file refuses that) and what a provider alone can judge.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Self

from service.domain import content, estimate, parameters, prices
from service.domain.errors import ConfigError, Fault
from service.domain.estimate import Estimate
from service.domain.families import FAMILIES, Family
from service.domain.flags import merge
from service.domain.order import Order
from service.domain.prices import PRICES, Price

_ID = re.compile(r"(?:doubao-|dreamina-)?(seedance-.+?)(?:-[0-9]{6})?")
"""The vendors' prefixes and the date they append."""
_SHOWN = 80
"""Characters of a model id that a warning repeats."""


@dataclass(frozen=True, slots=True)
class Checked:
    faults: tuple[Fault, ...]
    """All of them at once; none: the order may be placed."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    models: Mapping[str, str] = field(default_factory=dict)
    """The operator's ids, or patterns with `*`, → name of the family. Asked before the vendors' names."""
    prices: Mapping[str, tuple[Price, ...]] = field(default_factory=lambda: PRICES)
    """By model id or name of the family; the id wins."""

    @classmethod
    def default(cls) -> Self:
        return cls()

    def extended(self, table: Mapping[str, Any]) -> "Catalog":
        """With `[models]` and `[prices]` of the operator's parsed file; its other tables are not for us."""
        faults: list[Fault] = []
        broken: set[str] = set()
        models = dict(self.models)
        for name, entry in _entries(table, "models", faults):
            match entry:
                case {"family": str(family), **rest} if family in FAMILIES and not rest:
                    models[name] = family
                case _:
                    faults.append(
                        Fault(f"models.{name}", f"has to be a table with family alone, one of {', '.join(FAMILIES)}.")
                    )
                    broken.add(name)
        priced = dict(self.prices)
        known = Catalog(models)
        for name, entry in _entries(table, "prices", faults):
            rows, found = prices.read(entry, f"prices.{name}")
            faults += found
            if "*" in name or (known.family(name) is None and name not in broken):
                faults.append(Fault(f"prices.{name}", "is neither a family nor a model id that is known: add it to models."))
            priced[name] = rows
        if faults:
            raise ConfigError(faults)
        return Catalog(models, priced)

    def family(self, model: str) -> Family | None:
        if model in self.models:
            return FAMILIES[self.models[model]]
        for pattern, name in self.models.items():
            if fnmatchcase(model, pattern):
                return FAMILIES[name]
        match = _ID.fullmatch(model)
        return FAMILIES.get(match[1]) if match else None

    def check(self, order: Order) -> Checked:
        family = self.family(order.model)
        merged = merge(order)
        order = merged.order
        found: list[content.Finding] = [*_of_model(order.model, family), *merged.faults]
        found += content.findings(order, family, merged.plain)
        found += parameters.findings(order, family, content.layout(order))
        faults = (merged.locate(finding) for finding in found if isinstance(finding, Fault))
        warnings = (finding for finding in found if isinstance(finding, str))
        return Checked(tuple(dict.fromkeys(faults)), tuple(dict.fromkeys(warnings)))

    def effective(self, order: Order) -> Order:
        """What the order comes to: its fields, its flags, and the defaults of its family where that is known."""
        family = self.family(order.model)
        filled = merge(order).order
        return filled if family is None else estimate.effective(filled, family)

    def estimate(self, order: Order) -> Estimate:
        family = self.family(order.model)
        if family is None:
            return Estimate(None, None, "Unknown: the model is not in the catalog.")
        rows = self.prices.get(order.model) or self.prices.get(family.name, ())
        return estimate.estimate(self.effective(order), family, rows)


def _of_model(model: str, family: Family | None) -> tuple[content.Finding, ...]:
    if not model.strip():
        return (Fault("model", "is missing: name one, such as seedance-1-0-pro-250528."),)
    if family is not None:
        return ()
    name = model[:_SHOWN]
    if model.startswith("ep-"):
        return (f"{name} is an endpoint whose model is not known: name its family under [models] to have orders checked.",)
    return (f"{name} is not in the catalog: only what holds for every model was checked.",)


def _entries(table: Mapping[str, Any], name: str, faults: list[Fault]) -> list[tuple[str, Any]]:
    entries = table.get(name, {})
    if isinstance(entries, Mapping):
        return list(entries.items())
    faults.append(Fault(name, "has to be a table."))
    return []
