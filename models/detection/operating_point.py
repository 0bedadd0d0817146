"""Operating points of a detector: the scores between which a box is in doubt, and what that guarantees."""

from pydantic import Field

from overtone.models.operating_point import Certificate

# A score above all scores: with `sure` at it, no box of the low network is sure.
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
        unsure: a box of the low network with a lower score is dropped.
        sure: a box of the low network with at least this score stays in the answer.
        margin: number of blocks around a box in doubt that are asked for too.
        whole: whether all blocks of every picture are asked for, whatever the low network has found.
        shown: the score from which a box of the full answer counts as a thing.
        missed: mean share of things that are missed, over the n pictures.
        escalation_share: fraction of the n pictures for which blocks are asked for.
        block_share: mean fraction of a picture's blocks that are asked for.
    """

    unsure: float = Field(ge=0)
    sure: float = Field(default=NEVER, ge=0)
    margin: int = Field(default=1, ge=0)
    whole: bool = False
    shown: float = Field(default=0.5, gt=0, le=1)
    missed: float | None = None
    escalation_share: float | None = None
    block_share: float | None = None
