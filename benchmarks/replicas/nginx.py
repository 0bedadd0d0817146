"""nginx with the configuration of `deploy`, for replicas on this machine."""

from collections.abc import Sequence
from pathlib import Path

CONFIGURATION = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
# Where nginx would otherwise need the rights of root.
FOLDERS = """http {
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
"""


def command(
    folder: Path, ports: tuple[int, int], replicas: Sequence[tuple[int, int]], fail_timeout: str = "2s"
) -> list[str]:
    """The command that runs it at these ports, of gRPC and of REST, in front of the replicas that have those.

    Raises:
        FileNotFoundError: this is no checkout of the project, and so there is no configuration.
    """
    text = CONFIGURATION.read_text()
    text = text.replace("http {\n", FOLDERS).replace("fail_timeout=2s", f"fail_timeout={fail_timeout}")
    text = text.replace("listen 50051", f"listen 127.0.0.1:{ports[0]}")
    text = text.replace("listen 8080", f"listen 127.0.0.1:{ports[1]}").replace("auto;", "1;")
    for number, (grpc, http) in enumerate(replicas, 1):
        text = text.replace(f"server-{number}:50051", f"127.0.0.1:{grpc}")
        text = text.replace(f"server-{number}:8080", f"127.0.0.1:{http}")
    config = folder / "nginx.conf"
    config.write_text(text)
    globals_ = f"daemon off; pid {folder}/pid; error_log {folder}/error.log;"
    return ["nginx", "-p", str(folder), "-c", str(config), "-e", f"{folder}/error.log", "-g", globals_]
