"""The keys that a first run in development makes, and the file that keeps them."""

import json
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet

from service.domain.errors import ConfigError, Fault


def read_keys(path: Path) -> dict[str, str] | None:
    try:
        kept = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError([Fault(str(path), f"holds the keys and cannot be read: {type(error).__name__}")]) from None
    if not isinstance(kept, dict) or not all(isinstance(value, str) for value in kept.values()):
        raise ConfigError([Fault(str(path), "holds the keys and cannot be read: it has to be an object of texts")])
    return kept


def kept_keys(path: Path, make: bool) -> dict[str, str]:
    """The keys that a first run in development made; readable by their owner only."""
    kept = read_keys(path)
    if kept is not None:
        return kept
    made = {
        "admin_key": "csa_" + secrets.token_urlsafe(24),
        "signing_keys": secrets.token_urlsafe(32),
        "encryption_keys": Fernet.generate_key().decode(),
    }
    if not make:
        return made
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(made, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        why = f"keys cannot be kept in {path.parent} ({error.strerror}): name a file in a folder that this user may write"
        raise ConfigError([Fault("CALLSHEET_DATABASE_URL", why)]) from None
    try:
        os.link(fresh, path)  # whoever is first wins, whole
    except FileExistsError:
        made = json.loads(path.read_text())
    finally:
        fresh.unlink()
    return made
