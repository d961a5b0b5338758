"""TLS with self-made certificates on loopback: the name is checked and asked for, the address only dialled."""

import asyncio
import datetime
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.egress import exchange
from tests.egress.peer import Names, Peer, always, forever, ok, post, read_request, transport

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `hook.test`, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hook.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hook.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "hook.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def server(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


NAMES = Names({"hook.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})


async def test_the_name_goes_into_sni_and_host_and_the_connection_is_kept(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    asked, heads = [], []
    server.sni_callback = lambda _socket, name, _context: asked.append(name)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append((await read_request(reader))[0])
            writer.write(ok(b"x" * 50_000))

    async with Peer(talk, server) as peer, transport(resolve=NAMES, tls=trusting) as out:
        for body in (b"{}", b"x" * 1_000_000, b"{}"):
            reply = await exchange(out, post(f"https://hook.test:{peer.port}/", body), total_s=10, cap=65_536)
            assert len(reply.body) == 50_000
        assert out.stats().open == out.stats().idle == 1
    assert asked == ["hook.test"]
    assert all(b"\r\nHost: hook.test:%d\r\n" % peer.port in head for head in heads)


async def test_a_certificate_nobody_vouches_for_is_a_connect_error(server: ssl.SSLContext) -> None:
    heard = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    async with Peer(talk, server) as peer, transport(resolve=NAMES) as out:
        with pytest.raises(httpx.ConnectError, match="certificate refused"):
            await exchange(out, post(f"https://hook.test:{peer.port}/"), total_s=10, cap=9)
        assert out.stats().open == 0
    assert not any(heard)


@pytest.mark.parametrize("host", ["other.test", "127.0.0.1"])
async def test_a_certificate_of_another_name_is_a_connect_error(
    server: ssl.SSLContext, trusting: ssl.SSLContext, host: str
) -> None:
    async with Peer(always(ok()), server) as peer, transport(resolve=NAMES, tls=trusting) as out:
        for trusted in (False, True):
            with pytest.raises(httpx.ConnectError, match="certificate refused"):
                await exchange(out, post(f"https://{host}:{peer.port}/", trusted=trusted), total_s=10, cap=9)


async def test_a_server_that_speaks_no_tls_is_a_connect_error(trusting: ssl.SSLContext) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with Peer(talk) as peer, transport(resolve=NAMES, tls=trusting) as out:
        with pytest.raises(httpx.ConnectError):
            await exchange(out, post(f"https://hook.test:{peer.port}/"), total_s=10, cap=9)


async def test_a_handshake_that_never_ends_is_a_connect_timeout(trusting: ssl.SSLContext) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await forever()

    async with Peer(talk) as peer, transport(resolve=NAMES, tls=trusting) as out:
        with pytest.raises(httpx.ConnectTimeout):
            await exchange(out, post(f"https://hook.test:{peer.port}/"), total_s=10, connect_s=0.1, cap=9)


async def test_a_cut_answer_and_a_deadline_close_a_tls_connection_at_once(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with Peer(always(ok(b"x" * 1_000_000)), server) as peer, transport(resolve=NAMES, tls=trusting) as out:
        reply = await exchange(out, post(f"https://hook.test:{peer.port}/"), total_s=10, cap=10)
        assert reply.body == b"x" * 10
        assert out.stats().idle == 0
