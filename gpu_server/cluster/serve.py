"""The entry point of `overtone serve --ray`: deploy engines and faces, and delete them on SIGINT or SIGTERM."""

import logging
from multiprocessing.connection import wait

from overtone.gpu_server.cluster.check import check
from overtone.gpu_server.cluster.model_file import digest
from overtone.gpu_server.errors import StartError
from overtone.gpu_server.networks.stub import seconds_of
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.sockets import format_address
from overtone.gpu_server.system.signals import SignalListener
from overtone.models.any_card import read_any_card

try:
    import ray
    from ray import serve

    from overtone.gpu_server.cluster import application
    from overtone.gpu_server.cluster.nodes import nodes
except ModuleNotFoundError as error:
    raise StartError(f"--ray needs {error.name}: pip install 'overtone[ray]'") from None

log = logging.getLogger(__name__)


def run_on_ray(settings: Settings) -> None:
    """Deploy engines and faces, or update those that run to these settings; delete them on SIGINT or SIGTERM.

    If this process is killed, they go on serving; the same command then takes them over.

    Raises:
        StartError: there is no such cluster, or a node cannot serve.
    """
    check(settings)
    try:
        name, found = read_any_card(settings.model).name, digest(settings.model)
    except (ValueError, OSError) as error:
        raise StartError(f"cannot serve {settings.model}: {error}") from error
    _connect(settings.ray)
    try:
        chosen = settings.model_copy(update={"device": _device(settings)})
        _deploy(chosen, found)
        signals = SignalListener(lambda: None)
        print(_ready_lines(chosen, name), flush=True)
        while not signals.stop:
            wait([signals.wakeup])
            if signals.take_reload():
                log.warning(
                    "SIGHUP does nothing with --ray: faces see by themselves when tokens and certificates change, "
                    "and another model needs a new start"
                )
        _delete()
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    try:
        ray.init(address, namespace="serve", log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise StartError(f"no Ray cluster at {address}: {reason}") from error


def _device(settings: Settings) -> str:
    """The device of every engine.

    Raises:
        StartError: the cluster has no such device.
    """
    device, resources = settings.devices[0], ray.cluster_resources()
    if device == "auto":
        return "cuda" if resources.get("GPU") else "cpu"
    if device.startswith("cuda") and not resources.get("GPU"):
        raise StartError(f"no node of this Ray cluster has a GPU for --device {device}")
    if device not in ("cpu", "cuda") and seconds_of(device) is None:
        raise StartError(f"{device!r} is no device of an engine on Ray: use auto, cpu or cuda")
    return device


def _deploy(settings: Settings, found: str) -> None:
    """Deploy both applications, and wait until they serve.

    Raises:
        StartError: a replica cannot start; the message is Ray's.
    """
    # Faces have their own ports: Ray's proxies pass on single requests, and no sessions.
    serve.start(proxy_location="Disabled")
    serves = application.FACES in serve.status().applications
    try:
        engines = application.engines(settings, found)
        serve.run(engines, name=application.ENGINES, route_prefix=None)
        serve.run(application.faces(settings, found), name=application.FACES, route_prefix=None)
    except BaseException as error:
        if not serves:
            _delete()
        if isinstance(error, RuntimeError):
            raise StartError(f"the cluster cannot serve: {error}") from error
        raise


def _delete() -> None:
    """Delete the faces, which drain, and then the engines."""
    for name in (application.FACES, application.ENGINES):
        serve.delete(name)


def _ready_lines(settings: Settings, name: str) -> str:
    grpc, http = (
        format_address(settings.host, settings.grpc_port),
        format_address(settings.host, settings.http_port),
    )
    where = ", ".join(nodes())
    return f"overtone serving {name}: grpc {grpc}, http {http}\n  on each of these nodes: {where}"
