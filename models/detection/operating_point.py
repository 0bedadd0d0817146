"""An operating point of a detector: which boxes are in doubt, and what is guaranteed of the answer."""

from pydantic import Field

from overtone.models.operating_point import Certificate

# Above every score: no box of low is sure.
NEVER = 1.1


class DetectionPoint(Certificate):
    """Scores between which a box of the low network is in doubt, and the certificate of the answer.

    All further layers are asked for in the blocks of boxes in doubt. A *thing* is what the full answer (all layers of
    all blocks) gives at least the score `shown`; it is missed if the answer has no box of its class with at least
    that score that overlaps it by a half. Of a picture, the share of things that are missed counts. By `method`:

    - "risk control": that share is at most `alpha`, in expectation over the choice of the n pictures (conformal risk
      control, Angelopoulos et al. 2022, theorem 1);
    - "high probability": its mean is at most `alpha`, except with probability `delta` over that choice (fixed
      sequence of Hoeffding-Bentkus bounds, as in Learn then Test, Angelopoulos et al. 2021);
    - "share" and "bytes": as for classifiers, of the pictures of which blocks are asked for, and of payloads;
    - None: nothing is guaranteed; the scores were chosen by hand.

    Attributes:
        unsure: the score below which a thing is surely not there.
        sure: the score from which a thing surely is there; such boxes stay.
        margin: how many blocks around a box in doubt are asked for too.
        whole: all blocks of every picture are asked for, whatever low has found.
        shown: the score from which a box counts as a thing.
        missed: mean share of things that are missed, of the n pictures.
        escalation_share: share of the n pictures of which blocks are asked for.
        block_share: mean share of the pictures' blocks that are asked for.
    """

    unsure: float = Field(ge=0)
    sure: float = Field(default=NEVER, ge=0)
    margin: int = Field(default=1, ge=0)
    whole: bool = False
    shown: float = Field(default=0.5, gt=0, le=1)
    missed: float | None = None
    escalation_share: float | None = None
    block_share: float | None = None
