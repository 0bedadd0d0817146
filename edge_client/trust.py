"""What a failed TLS handshake was about, from the messages of gRPC and of OpenSSL."""

from overtone.edge_client import errors

_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed")
_ASKED_FOR = ("CERTIFICATE_REQUIRED", "ALERT_UNKNOWN_CA", "PEER_DID_NOT_RETURN_A_CERTIFICATE")


def problem_of(message: str) -> errors.OvertoneError | None:
    """The error that says what to do about a certificate; None if the message is about something else."""
    if any(each in message for each in _UNTRUSTED):
        _, _, why = message.partition("CERTIFICATE_VERIFY_FAILED")
        why = why.removeprefix("]").partition("(_ssl")[0].strip(" :').").removesuffix(": OK")
        return errors.Untrusted(f"the server's certificate is not trusted ({why or 'it has another name'})")
    if any(each in message.upper() for each in _ASKED_FOR):
        return errors.CertificateRequired(
            "the server does not accept this client's certificate, or it has none"
        )
    return None
