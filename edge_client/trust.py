"""The reasons of failed TLS handshakes, found in the messages of gRPC and of OpenSSL."""

from overtone.edge_client import errors
from overtone.edge_client.transport import ClientConfig

_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed")
_ASKED_FOR = ("CERTIFICATE_REQUIRED", "ALERT_UNKNOWN_CA", "PEER_DID_NOT_RETURN_A_CERTIFICATE")


def problem_of(message: str) -> errors.OvertoneError | None:
    """The client's error for a message about certificates; None if the message is about something else."""
    if any(each in message for each in _UNTRUSTED):
        _, _, why = message.partition("CERTIFICATE_VERIFY_FAILED")
        why = why.removeprefix("]").partition("(_ssl")[0].strip(" :').").removesuffix(": OK")
        return errors.Untrusted(f"the server's certificate is not trusted ({why or 'it has another name'})")
    if any(each in message.upper() for each in _ASKED_FOR):
        return errors.CertificateRequired(
            "the server does not accept this client's certificate, or it has none"
        )
    return None


def hint(config: ClientConfig, message: str) -> str:
    """A hint for the message about a connection that the server closed during the handshake without a reason.

    A server with TLS 1.3 does so if it requires a certificate of the client.
    """
    asked = config.address.secure and (config.tls is None or config.tls.certificate is None)
    closed = any(each in message for each in ("Socket closed", "RemoteProtocolError", "ReadError"))
    return "; it may ask for this client's certificate (--certificate and --key)" if asked and closed else ""
