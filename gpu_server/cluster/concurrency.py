"""How many batches may be in flight at once between faces and engines."""

from overtone.gpu_server.settings import Settings

# One is computed while the next one is on its way.
BATCHES_PER_ENGINE = 2


def batches_per_face(settings: Settings, faces: int) -> int:
    """Batches that one face may have in flight: enough for one engine, and for all engines if all faces do so."""
    engines = max(settings.engines, settings.max_engines)
    return settings.networks or max(BATCHES_PER_ENGINE, -(-BATCHES_PER_ENGINE * engines // faces))


def batches_per_engine(settings: Settings, faces: int) -> int:
    """Batches that one engine may hold: its part of all that the faces may have in flight, so that they queue there.

    A batch for which no engine has room would wait in its face, where Ray Serve's handle asks the replicas again and
    again, with pauses that grow to half a second. Under load some batches would wait for seconds, while others that
    came later passed them.
    """
    return max(BATCHES_PER_ENGINE, -(-faces * batches_per_face(settings, faces) // settings.engines))
