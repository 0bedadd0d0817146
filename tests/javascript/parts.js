// What the package reads from parts of a profile. In: one JSON object on standard input; out: one object a line.

import { unpackPart } from "../../frequency/wasm/profile_part.js";

const { parts, broken } = JSON.parse(await new Response(process.stdin).text());
const profile = parts.map(bytes).reduce((before, packed) => unpackPart(packed, before), null);
console.log(JSON.stringify(profile.tables));
console.log(JSON.stringify(broken.map(bytes).map(refused)));

function refused(packed) {
  try {
    unpackPart(packed);
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof SyntaxError)) throw error;
    return true;
  }
  return false;
}

function bytes(text) {
  return new Uint8Array(Buffer.from(text, "base64"));
}
