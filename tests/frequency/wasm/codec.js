// Asks the JavaScript device for what a Python test wants to compare. In: one JSON object on standard input.

import { readFile } from "node:fs/promises";
import { box, boxed, Codec } from "../../../frequency/wasm/device.js";
import { Profile } from "../../../frequency/wasm/profile.js";

const [module] = process.argv.slice(2);
const codec = await Codec.load(await readFile(module));
const given = JSON.parse(await new Response(process.stdin).text());
const profile = new Profile(given.profile, given.id);
const found = given.images.map(({ rgb, width, height }) => image(Buffer.from(rgb, "base64"), width, height));
const layers = given.values.map(({ values, quality }) =>
  codec.payloads(Int16Array.from(values), profile, quality).map(hex),
);
const regions = given.regions.map(({ values, quality, mask, after }) => {
  const region = codec.region(Buffer.from(mask, "hex"), after, profile);
  return codec.furtherPayloads(Int16Array.from(values), profile, quality, after, region).map(hex);
});
console.log(JSON.stringify({ images: found, layers, regions, refused: given.masks.map(refused) }));

function image(rgb, width, height) {
  const data = new Uint8Array(4 * width * height);
  for (let i = 0; i < width * height; i++) data.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
  const fitted = codec.resized({ data, width, height }, box(width, height, profile.size), profile.size);
  const payloads = profile.qualities.map((quality) =>
    codec.payloads(codec.quantised(fitted, profile, quality), profile, quality).map(hex),
  );
  const values = codec.quantised(fitted, profile, profile.quality);
  const pictures = profile.ladder.map((_, layer) =>
    Buffer.from(codec.picture(values, profile, profile.quality, layer + 1)).toString("base64"),
  );
  const letterBoxed = Buffer.from(codec.letterBoxed({ data, width, height }, profile.size)).toString("base64");
  const boxes = boxed(width, height, profile.size);
  return { fitted: Buffer.from(fitted).toString("base64"), payloads, pictures, letterBoxed, boxed: boxes };
}

function refused(mask) {
  try {
    codec.region(Buffer.from(mask, "hex"), 1, profile);
  } catch (error) {
    return error.message;
  }
}

function hex(bytes) {
  return Buffer.from(bytes).toString("hex");
}
