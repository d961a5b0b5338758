from typing import Any

import pytest


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Both loops: the service runs on uvloop where there is one, and transports differ in what they tell when."""
    return "asyncio", {"use_uvloop": request.param}
