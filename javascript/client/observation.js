// What a device has measured of one image: edge_client/observation.py, where nothing follows a request.

export class Observation {
  /**
   * @param {object} seen
   * @param {number} seen.together how many layers the first request held
   * @param {number[]} seen.sizes the bytes of each layer
   * @param {{at: number, layers: number, sent: number}[]} seen.replies when each reply came, up to which layer it asks or
   *     of how many layers the answer is, and payload bytes sent by then; the last is the answer
   * @param {number[]} seen.ends the offset on the link at which each layer ends
   * @param {number} seen.server seconds in the server
   * @param {string} seen.stage of the answer
   */
  constructor({ together, sizes, replies, ends, server, stage }) {
    Object.assign(this, { together, sizes, replies, ends, server });
    const { layers: answered, sent } = replies.at(-1);
    this.sent = sent;
    this.needed = Math.max(...replies.map(({ layers }) => layers));
    /** Whether the answer tells that no more layers were needed; that of an overloaded server does not. */
    this.settled = stage !== "brownout" && answered === this.needed;
    /** Payload bytes of layers that were not needed. */
    this.wasted = Math.max(0, sent - bytesOf(sizes, this.needed));
    /** How often the server judged the image; where nothing came unasked, it may have asked for several layers at once. */
    this.judgements = together > 1 ? answered : replies.length;
  }

  /** The offsets at which messages end that the server replied to, and when, less its time for one judgement. */
  trips(compute) {
    const { replies, ends, together, server } = this;
    const last = replies.length - 1;
    const finish = Math.max(0, server - compute * (this.judgements - 1));
    const first = [ends[together - 1], replies[0].at - (last ? compute * together : server)];
    const further = replies.slice(1).map((reply, i) => {
      const asked = replies[i];
      return reply.layers < asked.layers ? null : [ends[asked.layers - 1], reply.at - (i + 1 === last ? finish : compute)];
    });
    return [first, ...further.filter(Boolean)];
  }
}

function bytesOf(sizes, layers) {
  return sizes.slice(0, layers).reduce((total, size) => total + size, 0);
}
