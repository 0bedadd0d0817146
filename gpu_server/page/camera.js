// The camera as a stream: one frame after the other, each when the one before has been answered.

import { ImageProblem, pixels } from "./images.js";

export class Camera {
  /** @param {HTMLVideoElement} video that plays the stream, unseen */
  constructor(video) {
    this._video = video;
    this._stream = null;
  }

  get running() {
    return this._stream !== null;
  }

  /** Start filming. */
  async start() {
    if (!navigator.mediaDevices?.getUserMedia)
      throw new ImageProblem("Browsers give a page the camera over https or at localhost only; this page came otherwise.");
    const wanted = { video: { facingMode: "environment", width: { ideal: 640 }, height: { ideal: 480 } } };
    this._stream = await navigator.mediaDevices.getUserMedia(wanted).catch((error) => {
      throw new ImageProblem(SENTENCES[error.name] ?? `The camera cannot be used (${error.message}).`);
    });
    this._video.srcObject = this._stream;
    await this._video.play();
  }

  stop() {
    for (const track of this._stream?.getTracks() ?? []) track.stop();
    this._stream = this._video.srcObject = null;
  }

  /** The pixels of what the camera sees now. */
  frame() {
    return pixels(this._video, this._video.videoWidth, this._video.videoHeight);
  }
}

const SENTENCES = {
  NotAllowedError: "This page may not use the camera. The browser's site settings can allow it.",
  NotFoundError: "There is no camera at this machine.",
  NotReadableError: "Another program is using the camera.",
};
