"""A device that names its model, against a real server of several and against one that knows no names."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from overtone.edge_client import AsyncClient, errors
from overtone.frequency import Profile
from overtone.gpu_server.serve import Running
from overtone.models import read_card, rewrite
from tests.conftest import Photograph
from tests.edge_client.conftest import Talk
from tests.edge_client.fakes import FakeRest, confident, rest_answer, serve_rest
from tests.edge_client.test_real_server import SCHEMES, place
from tests.serving import Serve


@pytest.fixture
def serve_two(tiny_checkpoint: Path, tiny_profile: Profile, tmp_path: Path, serve: Serve) -> Serve:
    """The models "a", and "b" of another profile in its second version; their networks answer at once."""
    (tmp_path / "b").mkdir()
    for path in ("a.safetensors", "b/1.safetensors"):
        shutil.copyfile(tiny_checkpoint, tmp_path / path)
    second = read_card(tiny_checkpoint).model_copy(update={"profile": replace(tiny_profile, name="second")})
    rewrite(tiny_checkpoint, second, tmp_path / "b/2.safetensors")
    return partial(serve, models=tmp_path, device="stub")


def address(server: Running, scheme: str) -> str:
    return f"{scheme}://{place(server, scheme)}"


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_client_names_its_model(scheme: str, serve_two: Serve, photograph: Photograph) -> None:
    async with serve_two() as server:
        for model, name, profile in (("", "a", "tiny"), ("b", "b", "second"), ("b:1", "b", "tiny")):
            async with AsyncClient(address(server, scheme), model=model, operating_point="never") as client:
                assert (await client.classify(photograph)).model == name
                assert client.profile.name == profile
                assert (await client.whole_profile()).name == profile
                assert (await client.labels()).labels
        with pytest.raises(errors.UnknownModel, match="only 'a', 'b'"):
            async with AsyncClient(address(server, scheme), model="odd"):
                pass


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_client_meets_a_canary_with_another_profile(
    scheme: str, serve_two: Serve, photograph: Photograph
) -> None:
    async with (
        serve_two(canary="b:2=1") as server,
        AsyncClient(address(server, scheme), model="b", operating_point="never") as client,
    ):
        assert (await client.classify(photograph)).layers == 2
        # Over REST it asks for a profile before anybody knows who will judge, and gets that of the served version.
        assert client.profile.name == ("second" if scheme == "grpc" else "tiny")


async def test_a_server_that_knows_no_names(
    talk: Talk, tiny_profile: Profile, photograph: Photograph
) -> None:
    async with talk(confident, model="tiny") as (_, client):
        assert (await client.classify(photograph)).model == "tiny"
    with pytest.raises(errors.UnknownModel, match="has only 'tiny'"):
        async with talk(confident, model="odd"):
            pass
    async with (
        serve_rest(FakeRest(tiny_profile, rest_answer())) as where,
        AsyncClient(where, model="odd") as client,
    ):
        with pytest.raises(errors.UnknownModel, match="has only"):
            await client.classify(photograph)


async def test_a_client_comes_back_when_its_canary_goes(
    serve_two: Serve, photograph: Photograph, tmp_path: Path
) -> None:
    async with (
        serve_two(canary="b:2=1") as server,
        AsyncClient(address(server, "grpc"), model="b", operating_point="never") as client,
    ):
        assert (await client.classify(photograph)).layers == 2
        assert client.profile.name == "second"
        (tmp_path / "b/2.safetensors").unlink()
        await server.reload.reload_all()
        assert (await client.classify(photograph)).layers == 2
        assert client.profile.name == "tiny"
