"""The gateways' own SDKs accept the simulation for the real thing. They block, so they run beside the loop."""

import importlib
from types import ModuleType
from typing import Any

import anyio.to_thread
import pytest

from tests.sandbox.conftest import PRO, Live

pytestmark = [
    pytest.mark.anyio,
    # Both SDKs come with generated code that is not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
]


@pytest.fixture(
    params=[
        ("volcenginesdkarkruntime", "ark", "volcengine-ark-runtime"),
        ("byteplussdkarkruntime", "byteplus", "byteplus-python-sdk-v2"),
    ],
    ids=["volcengine", "byteplus"],
)
def sdk(request: pytest.FixtureRequest) -> tuple[ModuleType, str]:
    module, provider, package = request.param
    try:
        return importlib.import_module(module), provider
    except ModuleNotFoundError:
        pytest.skip(f"the official SDK {package} is not installed")


async def talk(work: Any, *args: Any) -> Any:
    return await anyio.to_thread.run_sync(work, *args)


async def test_create_get_list_delete(live: Live, sdk: tuple[ModuleType, str]) -> None:
    module, provider = sdk
    client = module.Ark(base_url=live.base(provider), api_key="k-test", max_retries=0, timeout=60)
    tasks = client.content_generation.tasks

    def create() -> Any:
        return tasks.create(model=PRO, content=[{"type": "text", "text": "a cat"}], callback_url=live.hook, duration=5)

    id = (await talk(create)).id
    await live.ended(id, provider)
    got = await talk(lambda: tasks.get(task_id=id))
    assert (got.status, got.usage.completion_tokens, got.duration) == ("succeeded", 246840, 5)
    assert got.content.video_url.startswith(live.root)
    listed = await talk(lambda: tasks.list(page_num=1, page_size=10, status="succeeded", task_ids=[id, "cgt-other"], model=PRO))
    assert (listed.total, [item.id for item in listed.items]) == (1, [id])
    await talk(lambda: tasks.delete(task_id=id))
    with pytest.raises(Exception, match="not found") as gone:
        await talk(lambda: tasks.get(task_id=id))
    error: Any = gone.value
    assert (error.status_code, error.code) == (404, "ResourceNotFound")


async def test_errors_reach_the_caller_with_their_code_and_field(live: Live, sdk: tuple[ModuleType, str]) -> None:
    module, provider = sdk
    stranger = module.Ark(base_url=live.base(provider), api_key="bad-key", max_retries=0, timeout=60)
    with pytest.raises(Exception, match="the API key") as refused:
        await talk(lambda: stranger.content_generation.tasks.get(task_id="cgt-1"))
    error: Any = refused.value
    assert (error.status_code, error.code, error.type) == (401, "AuthenticationError", "Unauthorized")
    client = module.Ark(base_url=live.base(provider), api_key="k-test", max_retries=0, timeout=60)
    content = [{"type": "text", "text": "a cat"}]
    with pytest.raises(Exception, match="duration") as wrong:
        await talk(lambda: client.content_generation.tasks.create(model=PRO, content=content, duration=13))
    refusal: Any = wrong.value
    assert (refusal.status_code, refusal.code, refusal.param) == (400, "InvalidParameter", "duration")
