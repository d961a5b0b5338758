"""The settings as people may see them."""

from collections.abc import Mapping

from service.settings.model import Settings
from service.settings.variables import KEPT, PROVIDERS, VARIABLES


def shown(env: Mapping[str, str], settings: Settings) -> list[tuple[str, str, str]]:
    """(variable, value with secrets masked, meaning) for people."""
    values = {
        "CALLSHEET_DATABASE_URL": _without_password(settings.database_url),
        "CALLSHEET_DATABASE_POOLER": "transaction" if settings.pooled else "none",
        "CALLSHEET_PUBLIC_URL": settings.public_url,
        "HOST": settings.host,
        "PORT": str(settings.port),
        "CALLSHEET_ENV": "production" if settings.production else "development",
        "CALLSHEET_ROUTE": ",".join(settings.route) or "(all configured)",
        "CALLSHEET_EGRESS_ALLOW": ",".join(map(str, settings.egress_allow)),
        "CALLSHEET_CONFIG": env.get("CALLSHEET_CONFIG", ""),
        **{f"CALLSHEET_KEEP_{name.upper()}_DAYS": str(getattr(settings.keep, name)) for name in KEPT},
    }
    rows = []
    for variable in VARIABLES:
        if "<NAME>" in variable.name:
            for provider in PROVIDERS:
                name = variable.name.replace("<NAME>", provider.upper())
                if env.get(name):
                    rows.append((name, "(set)" if variable.secret else _without_password(env[name]), variable.meaning))
        elif variable.secret:
            unset = "(made and kept)" if variable.default == "made on first run" else f"({variable.default})"
            rows.append((variable.name, "(set)" if env.get(variable.name) else unset, variable.meaning))
        else:
            rows.append((variable.name, values[variable.name], variable.meaning))
    return rows


def _without_password(url: str) -> str:
    head, _, query = url.partition("?")
    scheme, separator, rest = head.partition("://")
    who, at, where = rest.rpartition("@")
    shown = f"{scheme}{separator}{who.partition(':')[0]}:…@{where}" if at and ":" in who else head
    return f"{shown}?…" if query else shown  # drivers take a password there as well
