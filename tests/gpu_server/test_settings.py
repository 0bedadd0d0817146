import pytest
from pydantic import ValidationError

from overtone.gpu_server.settings import Settings, read


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERTONE_GRPC_PORT", "0")
    monkeypatch.setenv("OVERTONE_TOKENS", "one, two")
    monkeypatch.setenv("OVERTONE_BATCH_SIZES", "1,2,4")
    settings = Settings()
    assert (settings.grpc_port, settings.tokens, settings.batch_sizes) == (0, ("one", "two"), (1, 2, 4))


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERTONE_MODEL", "other")
    assert Settings(model="mine").model == "mine"


@pytest.mark.parametrize(
    "wrong",
    [
        {"grpc_port": 70_000},
        {"tokens": ("with space",)},
        {"tokens": ("",)},
        {"batch_sizes": (2, 4)},
        {"batch_sizes": (1, 4, 2)},
        {"credits": 0},
        {"log_level": "loud"},
        {"tls_key": "key.pem"},
        {"unknown": 1},
    ],
)
def test_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_read_says_what_is_wrong_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^--http-port: .*65535$") as refused:
        read(http_port=70_000)
    assert "\n" not in str(refused.value)
    assert read(http_port=0).http_port == 0


def test_read_names_a_setting_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^--token: tokens must be printable"):
        read(tokens=("with space",))
    monkeypatch.setenv("OVERTONE_CREDITS", "many")
    with pytest.raises(ValueError, match=r"^OVERTONE_CREDITS: .*integer"):
        read()
    monkeypatch.setenv("OVERTONE_CREDITS", "1")
    monkeypatch.setenv("OVERTONE_MAX_IMAGE_BYTES", "many")
    with pytest.raises(ValueError, match=r"^OVERTONE_MAX_IMAGE_BYTES: .*integer"):
        read()
    monkeypatch.setenv("OVERTONE_MAX_IMAGE_BYTES", "1")
    monkeypatch.setenv("OVERTONE_TLS_KEY", "key.pem")
    with pytest.raises(ValueError, match=r"^TLS needs both OVERTONE_TLS_CERTIFICATE and OVERTONE_TLS_KEY$"):
        read()
