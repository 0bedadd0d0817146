// A device in JavaScript, for Node and browsers.

export { Codec } from "../device/device.js";
export { join } from "../device/payload.js";
export { Profile } from "../device/profile.js";
export { Client } from "./client.js";
export { Encoder } from "./encoder.js";
export { OvertoneError } from "./error.js";
export { maskPixels } from "./mask.js";
export { Picture } from "./picture.js";
