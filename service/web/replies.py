"""What callers get back, as far as the OpenAPI document says it. Nothing is checked against these models while serving."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class TaskOut(BaseModel):
    """A task as it stands."""

    id: str
    object: Literal["task"]
    state: Literal["created", "queued", "running", "succeeded", "failed", "cancelled", "expired", "lost"]
    reason: str | None = Field(
        description="why it is where it is, e.g. `provider_busy`; `unconfirmed_ending`: a callback says it has ended, and its "
        "provider is asked before that counts; `/explain` says it in words"
    )
    sequence: int
    model: str
    provider: str | None
    remote_id: str | None
    order: dict[str, Any]
    metadata: dict[str, str]
    result: dict[str, Any] | None
    usage: dict[str, int | None]
    error: dict[str, Any] | None
    warnings: list[str] = Field(
        description="remarks on the order: duplicate_suspected (an equal one came within a minute), also_placed (its provider "
        "has another job for it, which nobody follows and which may be billed), or what its model will not do"
    )
    created_at: str
    updated_at: str
    started_at: str | None
    ended_at: str | None
    url: str


class DryRunOut(BaseModel):
    """What would become of an order. Nothing was placed."""

    object: Literal["dry_run"]
    valid: Literal[True]
    provider: str
    estimate: dict[str, Any]
    warnings: list[str]


class NoticeOut(BaseModel):
    """The body of a webhook."""

    type: str
    timestamp: str
    data: dict[str, Any]


class ListOut(BaseModel):
    object: Literal["list"]
    data: list[dict[str, Any]]
    next: str | None


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = []
