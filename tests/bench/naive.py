"""The same callback transaction as most teams would write it: one async ORM session a request. A baseline, never shipped.

Verify the token, load submission and task, judge, update, insert receipt, transition and one delivery per subscription,
commit, answer.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from service.domain.ids import Ids
from service.domain.lifecycle import State, Verdict, judge
from service.providers.registry import GATEWAYS
from service.store.postgres import async_url
from service.store.tables import Delivery, Event, Receipt, Submission, Subscription, Task
from tests.bench import ground


def naive() -> ASGIApp:
    url = os.environ["CALLSHEET_DATABASE_URL"].replace("sqlite:///", "sqlite+aiosqlite:///")
    engine = create_async_engine(async_url(url), connect_args={"timeout": 30} if "sqlite" in url else {})
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    tokens, gateway = ground.tokens(), GATEWAYS["ark"]
    names = Ids(ground.clock_ms, lambda: 0.5)

    async def callback(request: Request) -> Response:
        submission_id = tokens.open("ark", request.path_params["token"])
        report: Any = gateway.read_callback(await request.body())
        now = ground.clock_ms()
        async with sessions() as session:
            submission = (await session.execute(select(Submission).where(Submission.id == submission_id))).scalar_one()
            task = (await session.execute(select(Task).where(Task.id == submission.task_id).with_for_update())).scalar_one()
            verdict = judge(State(task.state), report.state)
            receipt_id = names.new()
            session.add(
                Receipt(
                    id=receipt_id,
                    app_id=task.app_id,
                    task_id=task.id,
                    submission_id=submission.id,
                    provider="ark",
                    source="callback",
                    verdict=verdict,
                    word=report.word,
                    at=now,
                    body=await request.body(),
                )
            )
            if verdict is Verdict.ADVANCE:
                previous, task.state, task.sequence = task.state, str(report.state), task.sequence + 1
                task.updated_at = task.news_at = now
                event_id = names.new()
                body = orjson.dumps(
                    {"type": f"task.{task.state}", "data": {"sequence": task.sequence, "task": {"id": task.id}}}
                )
                session.add(
                    Event(
                        id=event_id,
                        xact=0,
                        app_id=task.app_id,
                        task_id=task.id,
                        sequence=task.sequence,
                        type=f"task.{task.state}",
                        state=task.state,
                        previous=previous,
                        source="callback",
                        at=now,
                        body=body,
                    )
                )
                interested = await session.execute(select(Subscription).where(Subscription.app_id == task.app_id))
                for subscription in interested.scalars():
                    session.add(
                        Delivery(
                            id=names.new(),
                            app_id=task.app_id,
                            event_id=event_id,
                            subscription_id=subscription.id,
                            state="pending",
                            attempts=0,
                            fence=0,
                            due_at=now,
                            created_at=now,
                        )
                    )
            await session.commit()
        return Response(b'{"ok":true}', media_type="application/json")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    return Starlette(routes=[Route("/callbacks/ark/{token}", callback, methods=["POST"])], lifespan=lifespan)
