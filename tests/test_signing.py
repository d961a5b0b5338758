import base64
import string
from collections.abc import Callable
from hashlib import sha256

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner

from service.domain.errors import ConfigError
from service.signing import (
    SKEW_S,
    TOKEN_LIFETIME_S,
    CallbackTokens,
    Seal,
    jwks,
    new_keypair,
    new_secret,
    public_of,
    sign,
    sign_v1,
    sign_v1a,
)

NOW = 1_795_214_000_123
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
VECTOR_PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


# --- notices ---


@pytest.mark.parametrize(
    ("secret", "notice_id", "timestamp_s", "body", "signature"),
    [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            VECTOR_BODY,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_plJ3nmyCDGBKInavdOK15jsl",
            "msg_loFOjxBNrRLzqYUf",
            1731705121,
            b'{"event_type":"ping","data":{"success":true}}',
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        ),
        (
            VECTOR_PRIVATE,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            VECTOR_BODY,
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
        ),
    ],
)
def test_the_published_vectors_are_met(secret: str, notice_id: str, timestamp_s: int, body: bytes, signature: str) -> None:
    assert sign([secret], notice_id, timestamp_s, body) == signature


def test_every_live_key_signs() -> None:
    one, two = new_secret(), new_secret()
    private, _ = new_keypair()
    assert sign((one, two, private), "msg_1", 1, b"{}").split(" ") == [
        sign_v1(one, "msg_1", 1, b"{}"),
        sign_v1(two, "msg_1", 1, b"{}"),
        sign_v1a(private, "msg_1", 1, b"{}"),
    ]


def test_the_public_key_of_a_private_one_is_the_published_one() -> None:
    assert public_of(VECTOR_PRIVATE) == VECTOR_PUBLIC
    private, public = new_keypair()
    assert public_of(private) == public


def test_a_secret_has_192_random_bits_and_no_padding_to_lose() -> None:
    made = {new_secret() for _ in range(50)}
    assert len(made) == 50
    assert all(
        len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 24 and "=" not in secret for secret in made
    )


def test_published_keys_verify_what_was_signed() -> None:
    private, public = new_keypair()
    (key,) = jwks([public])["keys"]
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
    signature = base64.b64decode(sign_v1a(private, "msg_1", 1, b"{}").removeprefix("v1a,"))
    raw = base64.urlsafe_b64decode(key["x"] + "=")
    Ed25519PublicKey.from_public_bytes(raw).verify(signature, b"msg_1.1.{}")


def test_a_published_key_is_named_by_its_thumbprint() -> None:
    # The example key of RFC 8037, appendix A.3.
    x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    public = "whpk_" + base64.b64encode(base64.urlsafe_b64decode(x + "=")).decode()
    (key,) = jwks([public])["keys"]
    assert key["x"] == x
    assert key["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("key", ["whsec_s3cr3t!", "whsk_s3cr3t!", "s3cr3t", "whpk_c2VjcmV0"])
def test_a_broken_key_is_named_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match=r"whsec_|whsk_") as caught:
        sign([key], "msg_1", 1, b"{}")
    assert "s3cr3t" not in str(caught.value)


# --- callback tokens ---


def at(instant: int) -> Callable[[], int]:
    return lambda: instant


TOKENS = CallbackTokens(["an old key", "the new key"], at(NOW))
TOKEN = TOKENS.mint("apiyi", 4_611_686_018_427_387_909)


@given(st.integers(0, 2**63 - 1))
def test_a_token_names_its_submission_in_a_path_segment(submission_id: int) -> None:
    token = TOKENS.mint("apiyi", submission_id)
    assert set(token) <= set(string.ascii_letters + string.digits + "-._")
    assert len(token) <= 69
    assert TOKENS.open("apiyi", token) == submission_id


def test_a_token_opens_for_its_own_provider_only() -> None:
    for other in ("ark", "", "apiy", "apiyi.4000000000000005", "apiyi.", "APIYI", "ä", "\ud800"):
        assert TOKENS.open(other, TOKEN) is None


def test_a_part_of_a_token_cannot_move_into_the_providers_name() -> None:
    dotted = TOKENS.mint("a.b", 12)
    assert TOKENS.open("a.b", dotted) == 12
    assert TOKENS.open("a", f"b.{dotted}") is None
    number, rest = TOKEN.split(".", 1)
    assert TOKENS.open(f"apiyi.{number}", rest) is None
    assert TOKENS.open(f"apiyi.{number}", f"0.{rest}") is None


def test_no_single_changed_letter_is_forgiven() -> None:
    for place, letter in enumerate(TOKEN):
        for other in string.ascii_letters + string.digits + "-_.=%":
            if other != letter:
                assert TOKENS.open("apiyi", TOKEN[:place] + other + TOKEN[place + 1 :]) is None


def test_what_is_cut_or_longer_does_not_open() -> None:
    for length in range(len(TOKEN)):
        assert TOKENS.open("apiyi", TOKEN[:length]) is None
    for longer in (TOKEN + "A", TOKEN + "=", TOKEN + "\n", " " + TOKEN, "0" + TOKEN, TOKEN + "." + TOKEN, "!" + TOKEN):
        assert TOKENS.open("apiyi", longer) is None


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "A" * 1_000_000, "a.b.c", "ä" * 60, "\x00" * 60, "\ud800", "１.awDw4g." + "A" * 43]
)
def test_what_is_no_token_does_not_open(token: str) -> None:
    assert TOKENS.open("apiyi", token) is None


@given(st.text(max_size=300))
def test_nothing_made_up_opens_or_raises(token: str) -> None:
    assert TOKENS.open("apiyi", token) is None


def test_a_token_lives_for_its_lifetime_and_no_longer() -> None:
    keys = ["an old key", "the new key"]
    assert TOKEN_LIFETIME_S >= (72 + 8) * 3_600
    assert CallbackTokens(keys, at(NOW + TOKEN_LIFETIME_S * 1000)).open("apiyi", TOKEN) is not None
    assert CallbackTokens(keys, at(NOW + (TOKEN_LIFETIME_S + 1) * 1000)).open("apiyi", TOKEN) is None


def test_a_token_from_the_future_does_not_open_but_a_fast_clock_is_forgiven() -> None:
    keys = ["an old key", "the new key"]
    assert CallbackTokens(keys, at(NOW - SKEW_S * 1000)).open("apiyi", TOKEN) is not None
    assert CallbackTokens(keys, at(NOW - (SKEW_S + 1) * 1000)).open("apiyi", TOKEN) is None


def test_an_old_key_opens_until_it_is_taken_out() -> None:
    token = CallbackTokens(["an old key"], at(NOW)).mint("apiyi", 7)
    assert TOKENS.open("apiyi", token) == 7
    assert CallbackTokens(["the new key"], at(NOW)).open("apiyi", token) is None
    assert CallbackTokens(["an old key"], at(NOW)).open("apiyi", TOKEN) is None, "the last key signs"


def test_the_same_key_under_another_salt_does_not_open() -> None:
    class Fixed(TimestampSigner):
        def get_timestamp(self) -> int:
            return NOW // 1000

    foreign = Fixed("the new key", salt=b"something else", key_derivation="hmac", digest_method=sha256).sign("apiyi.7").decode()
    ours = (
        Fixed("the new key", salt=b"callsheet.callback.1", key_derivation="hmac", digest_method=sha256).sign("apiyi.7").decode()
    )
    assert TOKENS.open("apiyi", foreign.removeprefix("apiyi.")) is None
    assert TOKENS.open("apiyi", ours.removeprefix("apiyi.")) == 7


@pytest.mark.parametrize("keys", [[], [""], ["a key", ""]])
def test_tokens_need_keys(keys: list[str]) -> None:
    with pytest.raises(ConfigError, match="CALLSHEET_SIGNING_KEYS"):
        CallbackTokens(keys, at(NOW))


# --- secrets at rest ---

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_what_is_sealed_shows_nothing_and_opens_again() -> None:
    seal = Seal([OLD])
    sealed = seal.seal(b"whsec_s3cr3t")
    assert b"s3cr3t" not in sealed
    assert seal.open(sealed) == b"whsec_s3cr3t"
    assert seal.seal(b"whsec_s3cr3t") != sealed


def test_a_rotation_opens_the_old_seals_with_the_new_and_can_retire_the_old_key() -> None:
    sealed = Seal([OLD]).seal(b"s3cr3t")
    both = Seal([OLD, NEW])
    assert both.open(sealed) == b"s3cr3t"
    assert Seal([NEW]).open(both.seal(b"s3cr3t")) == b"s3cr3t", "the last key seals"
    assert Seal([NEW]).open(both.renew(sealed)) == b"s3cr3t"


def test_a_seal_that_no_key_opens_says_what_to_do() -> None:
    sealed = Seal([OLD]).seal(b"s3cr3t")
    for attempt in (Seal([NEW]).open, Seal([NEW]).renew):
        for broken in (sealed, sealed[:-1], b"", b"nonsense", b"\xff"):
            with pytest.raises(ConfigError, match="CALLSHEET_ENCRYPTION_KEYS: no key opens what is stored"):
                attempt(broken)


@pytest.mark.parametrize("keys", [[], ["s3cr3t"], [OLD, "s3cr3t"], [OLD, "ä"]])
def test_a_bad_encryption_key_is_refused_without_being_shown(keys: list[str]) -> None:
    with pytest.raises(ConfigError, match="CALLSHEET_ENCRYPTION_KEYS") as caught:
        Seal(keys)
    assert "s3cr3t" not in str(caught.value)
