// The bytes around a layer's body: header, checksum and framing, as in frequency/header.py and framing.py.

const VERSION = 3;
const REGION = 8; // in the first byte
const EVERYWHERE = new Uint8Array(0);
const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

/** Unsigned LEB128. */
export function varint(value) {
  const bytes = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

/**
 * The header of a payload with the upper half of its checksum; only that of a first layer holds id and sizes, and only
 * that of a region its packed block mask.
 */
export function header(layer, quality, check, id, sizes, mask = EVERYWHERE) {
  const start = [firstByte(layer, mask), quality, (check >>> 16) & 0xff, check >>> 24];
  if (mask.length) return concatenated([Uint8Array.from([...start, ...varint(mask.length)]), mask]);
  return Uint8Array.from(layer ? start : [...start, ...id, ...sizes.flatMap(varint)]);
}

/** CRC-32 of a payload's contents; `planes` are int16 arrays, of this machine's little-endian order. */
export function checksum(layer, quality, id, sizes, planes, mask = EVERYWHERE) {
  const start = [firstByte(layer, mask), quality, 0, 0, ...id, ...(sizes.length ? sizes : [0]).flatMap(varint)];
  let crc = crc32(mask, crc32(start, 0));
  for (const values of planes) crc = crc32(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), crc);
  return crc;
}

/** Several payloads in one piece, each after its size. */
export function join(payloads) {
  return concatenated(payloads.flatMap((payload) => [Uint8Array.from(varint(payload.length)), payload]));
}

/** Byte arrays one after another. */
export function concatenated(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function firstByte(layer, mask) {
  return (VERSION << 4) | (mask.length && REGION) | layer;
}

function crc32(bytes, before) {
  let crc = ~before;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}
