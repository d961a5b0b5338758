import socket
from collections.abc import Callable, Iterator

import httpx
import pytest
from typer.testing import Result

from tests.cli.running import Running, environment, invoked, running

Call = Callable[..., Result]


@pytest.fixture(scope="package")
def sandbox() -> Iterator[str]:
    """Simulated gateways that take no time, as a process of their own. Its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    quick = ("sandbox", "--port", str(port), "--queue", "0.05", "--run", "0.05")
    with running(environment("sqlite:///none.db"), *quick) as sandbox:
        url: str = sandbox.document["base_urls"]["sandbox"].removesuffix("/api/v3")
        with httpx.Client(transport=httpx.HTTPTransport(retries=6, trust_env=False)) as http:
            assert http.get(f"{url}/").is_success
        yield url


@pytest.fixture(scope="package")
def service(sandbox: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service for all tests here, with one provider."""
    home = tmp_path_factory.mktemp("service")
    ark = {"CALLSHEET_ARK_API_KEY": "k-not-a-real-one", "CALLSHEET_ARK_BASE_URL": f"{sandbox}/ark/api/v3"}
    with running(environment(f"sqlite:///{home}/callsheet.db", **ark), "serve", "--port", "0") as service:
        yield service


@pytest.fixture
def call(service: Running) -> Call:
    """The command line in this process, against that service over real HTTP."""

    def run(*arguments: str, input: str | None = None, **env: str | None) -> Result:
        return invoked(arguments, {**service.env, **env}, input)

    return run
