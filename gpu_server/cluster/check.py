"""Checks of the settings of `overtone serve --ray`; they need no Ray."""

import logging

from overtone.gpu_server.errors import StartError
from overtone.gpu_server.settings import Settings
from overtone.gpu_server.sockets import exposure_warnings
from overtone.gpu_server.tls import check_tls

log = logging.getLogger(__name__)


def check(settings: Settings) -> None:
    """Refuse settings with which a cluster cannot serve.

    Raises:
        StartError: there is one; the message says what to do.
    """
    if settings.models is not None:
        raise StartError("several models (--models) are served by one process and not with --ray")
    if settings.workers > 1:
        raise StartError("--workers is for one machine; with --ray there is one face on each node")
    if len(settings.devices) > 1:
        raise StartError("with --ray an engine has one device: --device cuda, and --engines as many as GPUs")
    if 0 in (settings.grpc_port, settings.http_port, settings.admin_port):
        raise StartError("with --ray all nodes have the same ports: give --grpc-port and --http-port, not 0")
    check_tls(settings)
    for warning in exposure_warnings(settings):
        log.warning(warning)
