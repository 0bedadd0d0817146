"""Clients of servers that do what a test tells them: ``async with talk(confident) as (cascade, client)``."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from overtone.edge_client import AsyncClient
from overtone.frequency import Profile
from tests.edge_client.fakes import Act, Behaviour, FakeCascade, FakeRest, Response, serve_grpc, serve_rest

Talk = Callable[..., AbstractAsyncContextManager[tuple[FakeCascade, AsyncClient]]]
Post = Callable[..., AbstractAsyncContextManager[tuple[FakeRest, AsyncClient]]]


@pytest.fixture
def other_profile(tiny_profile: Profile) -> Profile:
    """What a server has after its model has changed."""
    return replace(tiny_profile, name="other", labels=tuple(f"other {i}" for i in range(10)))


@pytest.fixture
def talk(tiny_profile: Profile) -> Talk:
    """Start a gRPC server that behaves like this, and open a client with these options."""

    @asynccontextmanager
    async def talking(
        *behaviours: Behaviour, credits: int = 4, **options: Any
    ) -> AsyncIterator[tuple[FakeCascade, AsyncClient]]:
        cascade = FakeCascade(tiny_profile, *behaviours)
        cascade.credits = credits
        async with serve_grpc(cascade) as address, AsyncClient(address, **options) as client:
            yield cascade, client

    return talking


@pytest.fixture
def post(tiny_profile: Profile) -> Post:
    """Start an HTTP server that acts like this, and open a client with these options."""

    @asynccontextmanager
    async def posting(*acts: Act | Response, **options: Any) -> AsyncIterator[tuple[FakeRest, AsyncClient]]:
        app = FakeRest(tiny_profile, *acts)
        async with serve_rest(app) as address, AsyncClient(address, **options) as client:
            yield app, client

    return posting
