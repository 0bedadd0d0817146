// A program that uses the package as a device would. In: one JSON object on standard input; out: one object a line.

import { Client, Encoder, maskPixels, OvertoneError, Profile } from "overtone-device";

const { address, clients = [], detect = false, fetched = [], golden, images, masks = [] } = JSON.parse(await new Response(process.stdin).text());
if (golden) {
  const encoder = await Encoder.load(new Profile(golden.profile, golden.id));
  const { qualities } = encoder.profile;
  tell(qualities.map((quality) => encoder.encode(...rgba(golden), quality).map(hex)));
  tell(qualities.map((quality) => encoder.picture(...rgba(golden), quality).layers.map(hex)));
  const { mask, after } = golden;
  if (mask) tell(encoder.picture(...rgba(golden)).region(Buffer.from(mask, "hex"), after).map(hex));
}
for (const mask of masks) tell(pixelsOf(mask));
for (const options of clients) {
  const client = new Client(address, options);
  for (const layers of fetched) await client.fetchTables(layers ?? undefined);
  for (const image of images) tell(await client[detect ? "detect" : "classify"](...rgba(image)).catch(failed));
}

function failed(error) {
  if (!(error instanceof OvertoneError)) throw error;
  return { code: error.code, status: error.status, message: error.message };
}

function rgba({ rgb, width, height }) {
  const bytes = Buffer.from(rgb, "base64");
  const data = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) data.set(bytes.subarray(3 * i, 3 * i + 3), 4 * i);
  return [data, width, height];
}

function pixelsOf(mask) {
  try {
    return [...maskPixels(mask)];
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return error.message;
  }
}

function hex(bytes) {
  return Buffer.from(bytes).toString("hex");
}

function tell(result) {
  console.log(JSON.stringify(result));
}
