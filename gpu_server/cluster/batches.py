"""How many batches are under way at once, between faces and engines."""

from overtone.gpu_server.settings import Settings

# For each engine: one is computed while the next one is on its way.
EACH = 2


def of_a_face(settings: Settings, faces: int) -> int:
    """How many a face may have: all of them together enough for the engines, and each enough for one engine."""
    engines = max(settings.engines, settings.max_engines)
    return settings.networks or max(EACH, -(-EACH * engines // faces))


def of_an_engine(settings: Settings, faces: int) -> int:
    """How many an engine takes: all that so many faces may have, because batches wait in turn only where they are run.

    A batch for which no engine has room waits in its face, which asks Ray Serve's replicas again and again, with pauses
    that grow to half a second. So under load some wait for seconds, while others that came later pass them.
    """
    return max(EACH, -(-faces * of_a_face(settings, faces) // settings.engines))
