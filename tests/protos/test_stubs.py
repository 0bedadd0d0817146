from pathlib import Path

import pytest

from overtone.protos import generate


@pytest.mark.filterwarnings("default")
def test_the_committed_stubs_are_those_of_the_contract(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    for name in generate.STUBS:
        assert (tmp_path / name).read_text() == (generate.HERE / name).read_text(), (
            f"{name} is out of date; run python -m overtone.protos.generate"
        )


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="0"):
        generate.main(["--help"])
    assert "where to write" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        generate.main([str(tmp_path / "nowhere")])
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_stubs_import() -> None:
    from overtone.protos import overtone_pb2, overtone_pb2_grpc

    assert list(overtone_pb2.Image(id=3, layers=[b"x", b"y"]).layers) == [b"x", b"y"]
    assert hasattr(overtone_pb2_grpc, "CascadeStub")
