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
        {"deadline": float("inf")},
        {"brownout": float("nan")},
        {"pause": "inf"},
        {"max_wait_ms": float("nan")},
        {"tls_key": "key.pem"},
        {"unknown": 1},
        {"canary": "shapes:2=0.5"},  # of no folder
        {"models": "models", "canary": "shapes=0.5"},
        {"models": "models", "canary": "shapes:2=1.5"},
        {"models": "models", "shadow": "shapes:two=1"},
        {"models": "models", "shadow": "shapes:2=0.1,shapes:3=0.1"},
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


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("OVERTONE_TOKNES", "did you mean OVERTONE_TOKENS"),
        ("OVERTONE_MAX_SESSION", "did you mean OVERTONE_MAX_SESSIONS"),
        ("OVERTONE_STATE_TLL", "did you mean OVERTONE_STATE_TTL"),
        ("overtone_gprc_port", "did you mean OVERTONE_GRPC_PORT"),
        ("OVERTONE_ZEBRA", "see gpu_server/settings.py"),
    ],
)
def test_a_mistyped_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, hint: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ValueError, match=rf"^{name} is no setting[;,] {hint}"):
        read()


def test_variables_of_others_are_not_mistyped_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OVERTONE_DATA", "OVERTONE_TOKEN", "OVERTONE_PURE"):
        monkeypatch.setenv(name, "1")
    # As Kubernetes sets them beside Services named overtone and overtone-metrics.
    for name in (
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_GRPC",
        "PORT",
        "PORT_50051_TCP",
        "PORT_50051_TCP_ADDR",
    ):
        monkeypatch.setenv(f"OVERTONE_{name}", "tcp://10.0.0.1:50051")
        monkeypatch.setenv(f"OVERTONE_METRICS_{name}", "tcp://10.0.0.1:50051")
    assert read().model == "photographs"
