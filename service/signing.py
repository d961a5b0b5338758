"""Everything that is signed or sealed: notices to subscribers, callback tokens, secrets at rest.

Absent on purpose: verifying notices (subscribers do that, with libraries of their own) and reading any setting.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from itsdangerous import HMACAlgorithm, TimestampSigner, want_bytes
from itsdangerous.encoding import base64_decode, bytes_to_int

from service.domain.errors import ConfigError, Fault, KeyMissing

# --- notices: Standard Webhooks 1.0, https://www.standardwebhooks.com ---

SECRET_BYTES = 24
"""192 random bits; the shortest the specification allows, and its base64 needs no padding that gets lost in copying."""

KEYS_CACHED = 1_024
"""Decoded keys kept: a busy service's subscriptions, about a megabyte."""


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def new_keypair() -> tuple[str, str]:
    """An ed25519 pair, private (`whsk_`) and public (`whpk_`)."""
    seed = secrets.token_bytes(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return "whsk_" + base64.b64encode(seed + public).decode(), "whpk_" + base64.b64encode(public).decode()


def public_of(private: str) -> str:
    return "whpk_" + base64.b64encode(_ed25519(private).public_key().public_bytes_raw()).decode()


def sign(keys: Iterable[str], notice_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature for every live key, so that a rotation breaks no receiver."""
    return " ".join([(sign_v1a if key.startswith("whsk_") else sign_v1)(key, notice_id, timestamp_s, body) for key in keys])


def sign_v1(secret: str, notice_id: str, timestamp_s: int, body: bytes) -> str:
    mac = _prepared(secret).copy()
    mac.update(_content(notice_id, timestamp_s, body))
    return "v1," + base64.b64encode(mac.digest()).decode()


def sign_v1a(private: str, notice_id: str, timestamp_s: int, body: bytes) -> str:
    return "v1a," + base64.b64encode(_ed25519(private).sign(_content(notice_id, timestamp_s, body))).decode()


def jwks(publics: Iterable[str]) -> dict[str, list[dict[str, str]]]:
    """The public keys as a JSON Web Key Set (RFC 8037), each named by its thumbprint (RFC 7638)."""
    return {"keys": [_jwk(public) for public in publics]}


def _jwk(public: str) -> dict[str, str]:
    x = _b64url(_decode(public, "whpk_"))
    thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": _b64url(thumbprint), "x": x}


def _content(notice_id: str, timestamp_s: int, body: bytes) -> bytes:
    return b"%b.%d.%b" % (notice_id.encode(), timestamp_s, body)


@lru_cache(KEYS_CACHED)
def _prepared(secret: str) -> hmac.HMAC:
    # Copying an HMAC that has its key costs a third less than making one.
    return hmac.new(_decode(secret, "whsec_"), digestmod="sha256")


@lru_cache(KEYS_CACHED)
def _ed25519(private: str) -> Ed25519PrivateKey:
    # Libraries write the private key as seed and public key together; the seed is all that counts.
    return Ed25519PrivateKey.from_private_bytes(_decode(private, "whsk_")[:32])


def _decode(key: str, prefix: str) -> bytes:
    if not key.startswith(prefix):
        raise ValueError(f"a key that does not start with {prefix}")
    try:
        return base64.b64decode(key[len(prefix) :], validate=True)
    except ValueError:
        raise ValueError(f"a {prefix} key that is not base64") from None  # without the key


def _b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


# --- callback tokens ---

TOKEN_LIFETIME_S = 96 * 3_600
"""A provider may work on a task for 72 h and repeat its callback for 8 more; the rest is grace."""

SKEW_S = 86_400
"""A token may come from the future by this much: the clock that minted it was ahead, and was set right since. Nobody but us
can mint one, so this costs nothing, and a callback that is turned away may never come again."""

TOKEN_SALT = b"callsheet.callback.1"
"""Keeps a signature of anything else under the same keys from ever passing for a token."""

TOKEN = re.compile(r"[0-9a-f]{1,16}\.[\w-]{1,8}\.[\w-]{42}[048AEIMQUYcgkosw]", re.ASCII)
"""Submission, time and signature, in 69 characters at most. The last one carries four bits only: any other letter there
would decode to the same signature, and a token should have one spelling."""


class CallbackTokens:
    """Names one submission to the one provider that was given the token. Keys oldest first: the last signs, all open."""

    def __init__(self, keys: Sequence[str], clock_ms: Callable[[], int]) -> None:
        if not all(keys) or not keys:
            raise ConfigError([Fault("CALLSHEET_SIGNING_KEYS", "at least one key is needed, and none may be empty")])
        self._signer = _Signer(keys, lambda: clock_ms() // 1000)

    def mint(self, provider: str, submission_id: int) -> str:
        assert 0 <= submission_id < 2**63
        bound = self._signer.sign(f"{provider}.{submission_id:x}").decode()
        return bound[len(provider) + 1 :]  # the path names the provider already

    def open(self, provider: str, token: str) -> int | None:
        """None for everything else: forged, expired, foreign, not a token. The caller shall not tell them apart."""
        if TOKEN.fullmatch(token) is None:
            return None
        signed, _, signature = token.rpartition(".")
        submission, _, stamp = signed.partition(".")
        if not self._signer.verify_signature(f"{provider}.{signed}".encode("ascii", "backslashreplace"), signature):
            return None
        age_s = self._signer.get_timestamp() - _second(stamp)
        # What was signed is the provider's name and these three parts; none of them holds a dot, so none can shift.
        return int(submission, 16) if -SKEW_S <= age_s <= TOKEN_LIFETIME_S else None


@lru_cache(KEYS_CACHED)
def _second(stamp: str) -> int:
    """Many tokens are minted within one."""
    return bytes_to_int(base64_decode(stamp))


class _OneShot(HMACAlgorithm):
    """The same signature without an object for each: a third of the time."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


class _Signer(TimestampSigner):
    def __init__(self, keys: Sequence[str], clock_s: Callable[[], int]) -> None:
        super().__init__(
            list(keys), salt=TOKEN_SALT, key_derivation="hmac", digest_method=hashlib.sha256, algorithm=_OneShot(hashlib.sha256)
        )
        self._clock_s = clock_s
        # Derived once: doing it again for each token and each key would double what a check costs.
        self._derived = {key: super(_Signer, self).derive_key(key) for key in self.secret_keys}

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        return self._derived[want_bytes(secret_key or self.secret_keys[-1])]

    def get_timestamp(self) -> int:
        return self._clock_s()


# --- secrets at rest ---


class Seal:
    """Subscribers' secrets and addresses as the database keeps them. Keys oldest first: the last seals, all open."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in reversed(keys)])
        except ValueError:
            fault = Fault(
                "CALLSHEET_ENCRYPTION_KEYS", "every key has to be 32 bytes in URL-safe base64, and there has to be one"
            )
            raise ConfigError([fault]) from None

    def seal(self, plain: bytes) -> bytes:
        return self._fernet.encrypt(plain)

    def open(self, sealed: bytes) -> bytes:
        return self._tried(self._fernet.decrypt, sealed)

    def renew(self, sealed: bytes) -> bytes:
        """The same secret under the newest key, so that an old key can be retired."""
        return self._tried(self._fernet.rotate, sealed)

    def opens(self, sealed: bytes) -> bool:
        try:
            self.open(sealed)
        except KeyMissing:
            return False
        return True

    def _tried(self, verb: Callable[[bytes], Any], sealed: bytes) -> bytes:
        try:
            return bytes(verb(sealed))
        except InvalidToken:
            raise KeyMissing from None
