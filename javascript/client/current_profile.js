// The server's profile, as much of it as has been needed: edge_client/current_profile.py does the same.

import { OvertoneError } from "./error.js";
import { profileOf } from "./rest.js";
import { raced } from "./time.js";

export class CurrentProfile {
  /**
   * @param {(query: object) => Promise<Response>} get asks for `/v1/profile` with these parameters
   * @param {number} [quality] whose tables are fetched; without it those of the default quality
   */
  constructor(get, quality) {
    this._get = get;
    this._quality = quality;
    this._growing = null;
    this.profile = null;
    /** How many bytes have come. */
    this.bytes = 0;
  }

  /** Fetch what is needed at first: the tables of so many layers, 0 for all. */
  async open(layers) {
    await this._fetch(layers);
    return this;
  }

  /** The profile with tables of so many layers; what is missing is fetched once, whoever waits for it and how long. */
  async grow(layers, signal) {
    while (this.profile.encodable < layers) {
      this._growing ??= this._fetch(layers).finally(() => (this._growing = null));
      await raced(this._growing, signal);
    }
    return this.profile;
  }

  async _fetch(layers) {
    const quality = this._quality === undefined ? {} : { quality: this._quality };
    const response = await this._get({ after: this.profile?.encodable ?? 0, layers, ...quality });
    this.bytes += Number((await response.clone().arrayBuffer()).byteLength);
    const profile = await profileOf(response, this.profile);
    if (profile.encodable < layers) throw new OvertoneError("INTERNAL", "the server did not send the tables that it was asked for");
    this.profile = profile;
  }
}
