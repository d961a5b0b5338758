"""The variables that the environment may hold: `callsheet settings` and the README's table are made from them."""

from dataclasses import dataclass, fields

from service.domain.keep import Keep

PROVIDERS = ("ark", "byteplus", "agentsflare", "acedata", "yescale", "pixazo", "apiyi")


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    default: str
    meaning: str
    secret: bool = False


KEPT = {
    "tasks": "ended tasks, with everything that belongs to them",
    "events": "what happened, and the deliveries that told of it",
    "receipts": "callbacks and answers as they arrived",
    "attempts": "what subscribers answered, and when",
    "payloads": "whole orders of ended tasks, inline pictures included",
    "keys": "idempotency keys",
}
KEEP_LIMIT = 3_650

VARIABLES = (
    Variable("CALLSHEET_DATABASE_URL", "sqlite:///var/callsheet.db", "or `postgresql://…`"),
    Variable(
        "CALLSHEET_DATABASE_POOLER",
        "none",
        "`transaction`: a pooler like PgBouncer gives each transaction another connection of the database",
    ),
    Variable("CALLSHEET_PUBLIC_URL", "http://127.0.0.1:$PORT", "what providers can reach; goes into callback URLs"),
    Variable("HOST", "127.0.0.1", "address to listen on"),
    Variable("PORT", "8000", "port to listen on"),
    Variable(
        "CALLSHEET_SIGNING_KEYS", "made on first run", "comma-separated, oldest first; signs with the last, accepts all", True
    ),
    Variable(
        "CALLSHEET_ENCRYPTION_KEYS", "made on first run", "Fernet keys, comma-separated, oldest first; secrets at rest", True
    ),
    Variable("CALLSHEET_ADMIN_KEY", "made on first run", "the operator's API key", True),
    Variable("CALLSHEET_API_KEY", "the operator's", "the key that the command line shows to the service", True),
    Variable("CALLSHEET_ENV", "development", "`production` refuses made-up keys, plain-http public URLs and the sandbox"),
    Variable("CALLSHEET_ROUTE", "all configured", "providers to try, in order, e.g. `apiyi,agentsflare`"),
    Variable("CALLSHEET_EGRESS_ALLOW", "", "private networks that subscribers' URLs may lead to, e.g. `127.0.0.0/8`"),
    Variable(
        "CALLSHEET_CONFIG",
        "",
        "a TOML file: several accounts of one gateway, callbacks, patience, limits, options, models, prices",
    ),
    *(Variable(f"CALLSHEET_KEEP_{f.name.upper()}_DAYS", str(f.default), KEPT[f.name]) for f in fields(Keep)),
    Variable(
        "CALLSHEET_<NAME>_API_KEY",
        "",
        "turns a provider on; names: ARK, BYTEPLUS, AGENTSFLARE, ACEDATA, YESCALE, PIXAZO, APIYI",
        True,
    ),
    Variable("CALLSHEET_<NAME>_BASE_URL", "the gateway's own", "overrides its address; required for YESCALE"),
)
