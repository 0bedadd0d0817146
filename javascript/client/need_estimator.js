// How many layers images need, learned as in edge_client/need_estimator.py.

// The share that the first layer answers where no card gives it, and that of every further one among images that need it.
const [USUAL_EXIT_SHARE, LATER_EXIT_SHARE] = [0.7, 0.5];
// How many images these shares count for, and that of a card.
const [USUAL_WEIGHT, CARD_WEIGHT] = [4, 20];
const MEMORY = 200; // images after which older ones begin to count for less

/** The share of images for which something is so; older images count for less. */
class Share {
  constructor(share, weight) {
    [this._images, this._so] = [weight, weight * share];
  }

  get value() {
    return this._so / this._images;
  }

  count(so) {
    const fade = Math.min(1, MEMORY / (this._images + 1));
    [this._images, this._so] = [fade * (this._images + 1), fade * (this._so + Number(so))];
  }
}

export class NeedEstimator {
  /** @param {number | null} exitShare the share of images that the first layer answers, as a card gives it */
  constructor(exitShare = null) {
    const first = exitShare === null ? new Share(1 - USUAL_EXIT_SHARE, USUAL_WEIGHT) : new Share(1 - exitShare, CARD_WEIGHT);
    this._goesOn = [first];
  }

  /** p_0, ..., p_(n-1) of images of n layers: the shares that need more than 0, 1, ... of them. */
  shares(layers) {
    const shares = [1];
    for (let i = 1; i < layers; i++) shares.push(shares[i - 1] * this._after(i).value);
    return shares;
  }

  /** Learn from an image that was answered, an observation of conversation.js. */
  observe({ needed, settled, sizes }) {
    for (let layers = 1; layers < needed; layers++) this._after(layers).count(true);
    if (settled && needed < sizes.length) this._after(needed).count(false);
  }

  _after(layers) {
    while (this._goesOn.length < layers) this._goesOn.push(new Share(1 - LATER_EXIT_SHARE, USUAL_WEIGHT));
    return this._goesOn[layers - 1];
  }
}
