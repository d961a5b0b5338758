"""What callers may send, once: these models validate, and the OpenAPI document is made from them."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

TEXT_LIMIT = 100_000
"""Characters of a prompt: more than any model reads."""
_SURROGATE = re.compile(r"[\ud800-\udfff\x00]")


def _storable(value: str) -> str:
    if _SURROGATE.search(value):
        raise ValueError("may not contain NUL or unpaired surrogates; no database stores them")
    return value


Text = Annotated[str, AfterValidator(_storable)]
Short = Annotated[Text, Field(max_length=200)]
Url = Annotated[Text, Field(max_length=2_048)]
Media = Annotated[Text, Field(max_length=45_000_000)]
"""An address or an inline picture of up to 30 MB in base64."""
Int = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
Bool = Annotated[bool, Field(strict=True)]


AT = "at_"
"""Begins the kind of an error that is about one field, although a check of several found it."""


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Link(Shape):
    url: Media


class DraftTask(Shape):
    id: Short


class Content(Shape):
    """A content item as Ark names them."""

    type: Literal["text", "image_url", "video_url", "audio_url", "draft_task"]
    text: Annotated[Text, Field(max_length=TEXT_LIMIT)] | None = None
    image_url: Link | None = None
    video_url: Link | None = None
    audio_url: Link | None = None
    draft_task: DraftTask | None = None
    role: Literal["first_frame", "last_frame", "reference_image", "reference_video", "reference_audio"] | None = None

    @model_validator(mode="after")
    def _one_payload(self) -> "Content":
        given = [
            name for name in ("text", "image_url", "video_url", "audio_url", "draft_task") if getattr(self, name) is not None
        ]
        if given != [self.type]:
            raise PydanticCustomError(AT + self.type, "is the one payload that an item of this type has to have")
        return self


class Tool(Shape):
    type: Short


Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]


class OrderIn(Shape):
    """What you ask for. `model`, and `prompt` or `content`, are required."""

    model: Annotated[Text, Field(min_length=1, max_length=200)]
    prompt: Annotated[Text, Field(min_length=1, max_length=TEXT_LIMIT)] | None = None
    content: Annotated[list[Content], Field(min_length=1, max_length=64)] | None = None
    resolution: Short | None = None
    ratio: Short | None = None
    duration: Int | None = None
    frames: Int | None = None
    seed: Int | None = None
    watermark: Bool | None = None
    camera_fixed: Bool | None = None
    generate_audio: Bool | None = None
    return_last_frame: Bool | None = None
    service_tier: Short | None = None
    draft: Bool | None = None
    priority: Int | None = None
    execution_expires_after: Int | None = None
    safety_identifier: Short | None = None
    tools: Annotated[list[Tool], Field(max_length=10)] | None = None
    output_format: Short | None = None
    omni_reference_task_type: Short | None = None
    provider: Short | None = None
    callback_url: Url | None = None
    metadata: Annotated[dict[Label, Annotated[Text, Field(max_length=200)]], Field(max_length=20)] | None = None

    @model_validator(mode="after")
    def _something_to_make(self) -> "OrderIn":
        if self.prompt is None and self.content is None:
            raise PydanticCustomError(AT + "prompt", "is required, or content instead")
        if self.prompt is not None and any(item.type == "text" for item in self.content or ()):
            raise PydanticCustomError(
                AT + "prompt", "gives the text a second time: content has a text item already; keep one of them"
            )
        return self


Pattern = Annotated[str, Field(pattern=r"^[a-z_.*]{1,60}$")]


class FilterIn(Shape):
    """Only events about these; what is left out lets everything through."""

    model: Annotated[list[Short], Field(max_length=50)] | None = None
    provider: Annotated[list[Short], Field(max_length=20)] | None = None
    metadata: Annotated[dict[Label, Short], Field(max_length=20)] | None = None


Headers = Annotated[dict[Annotated[str, Field(max_length=100)], Annotated[str, Field(max_length=1_000)]], Field(max_length=20)]
Options = Annotated[dict[Short, Short], Field(max_length=10)]
Rate = Annotated[int, Field(strict=True, ge=1, le=10_000)]
"""Notices a second."""
Concurrency = Annotated[int, Field(strict=True, ge=1, le=100)]
Schedule = Annotated[list[Annotated[int, Field(strict=True, ge=1, le=7 * 86_400)]], Field(max_length=20)]
"""Seconds before each retry."""


class SubscriptionIn(Shape):
    channel: Literal["webhook", "slack", "discord", "teams"] = "webhook"
    target: Url
    events: Annotated[list[Pattern], Field(max_length=50)] | None = None
    filter: FilterIn | None = None
    headers: Headers | None = None
    options: Options | None = None
    rate: Rate | None = Field(None, description="notices a second")
    concurrency: Concurrency | None = None
    schedule: Schedule | None = Field(None, description="seconds before each retry; an empty list: one attempt")
    label: Short | None = None


class SubscriptionPatch(Shape):
    """What is not named stays as it is."""

    target: Url | None = None
    events: Annotated[list[Pattern], Field(max_length=50)] | None = None
    filter: FilterIn | None = None
    headers: Headers | None = None
    options: Options | None = None
    rate: Rate | None = Field(None, description="notices a second")
    concurrency: Concurrency | None = None
    schedule: Schedule | None = Field(None, description="seconds before each retry; an empty list: one attempt")
    label: Short | None = None


Scope = Literal["submit", "read", "manage", "admin"]


class KeyIn(Shape):
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)] = ["submit", "read", "manage"]
    label: Short = ""


class AppIn(Shape):
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    label: Short = ""
    weight: Annotated[int, Field(strict=True, ge=1, le=100)] = 1


class ResolveIn(Shape):
    """What an operator found at the provider."""

    outcome: Literal["never_happened", "accepted"]
    remote_id: Short | None = Field(None, description="the provider's name for the task; with `accepted`")

    @model_validator(mode="after")
    def _a_name_if_accepted(self) -> "ResolveIn":
        if (self.remote_id is not None) != (self.outcome == "accepted"):
            raise ValueError("remote_id belongs to the outcome accepted, and is required with it")
        return self


class RecoverIn(Shape):
    since: Short = Field(description="RFC 3339: everything that happened since then and did not arrive")


class Nothing(Shape):
    """No body, or an empty object."""


Limit = Annotated[int, Field(ge=1, le=200)]


class Page(Shape):
    """Query of a list."""

    limit: Limit = 50
    cursor: Short | None = None


class TaskPage(Page):
    state: Short | None = Field(None, description="one state, or several with commas")
    model: Short | None = None
    provider: Short | None = None
    created_after: Short | None = Field(None, description="RFC 3339")
    created_before: Short | None = Field(None, description="RFC 3339")


class DeliveryPage(Page):
    state: Literal["pending", "delivered", "abandoned", "skipped"] | None = None
    subscription: Short | None = None
    task: Short | None = None
    created_after: Short | None = Field(None, description="RFC 3339")


class SubmitQuery(Shape):
    dry_run: bool = False


class NoQuery(Shape):
    pass
