// Images from files, the clipboard and the camera, as pixels; and what they would cost as JPEG and WebP.

const MAX_BYTES = 64 * 2 ** 20;
const MAX_PIXELS = 64e6;
// A large image is drawn this small before it is resized exactly, as a JPEG is decoded smaller by a Python device.
const ENOUGH = 1024;
const RIVAL_QUALITY = 0.75;

/** Something that is no usable image; the message is a sentence. */
export class ImageProblem extends Error {}

/** An image element of a file, upright. */
export async function opened(file) {
  const name = file.name ? `“${file.name}”` : "What was pasted";
  if (file.type && !file.type.startsWith("image/"))
    throw new ImageProblem(`${name} is not an image. JPEG, PNG, WebP and whatever else this browser shows will do.`);
  if (file.size > MAX_BYTES)
    throw new ImageProblem(`${name} has ${Math.round(file.size / 2 ** 20)} MB; this page takes images of up to 64 MB.`);
  const url = URL.createObjectURL(file);
  try {
    const image = await loaded(url, `${name} cannot be read as an image. It may be damaged, or of a kind this browser does not know.`);
    if (image.naturalWidth * image.naturalHeight > MAX_PIXELS)
      throw new ImageProblem(`${name} has ${Math.round((image.naturalWidth * image.naturalHeight) / 1e6)} megapixels; this page takes up to 64.`);
    return await pixels(image, image.naturalWidth, image.naturalHeight);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** The pixels of an image of this server. */
export async function sample(url) {
  const image = await loaded(url, "The photograph did not come; the server may be away.");
  return pixels(image, image.naturalWidth, image.naturalHeight);
}

/** RGBA {data, width, height} of an image or a video, on white, at most about twice as large as it need be. */
export function pixels(source, width, height) {
  if (!width || !height) throw new ImageProblem("This image has no pixels.");
  const scale = Math.min(1, ENOUGH / Math.min(width, height));
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** RGB as image data. */
export function shown(rgb, size) {
  const data = new Uint8ClampedArray(4 * size * size).fill(255);
  for (let i = 0; i < size * size; i++) data.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
  return new ImageData(data, size, size);
}

/** Bytes of a picture as JPEG and as WebP, or of its upper left part; none where this browser cannot write one. */
export async function rivalsOf(picture, width = picture.width, height = picture.height) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  const sizes = await Promise.all(
    ["image/jpeg", "image/webp"].map(async (type) => {
      const blob = await canvas.convertToBlob({ type, quality: RIVAL_QUALITY });
      return blob.type === type ? blob.size : null;
    }),
  );
  return { jpeg: sizes[0], webp: sizes[1] };
}

function loaded(url, problem) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new ImageProblem(problem));
    image.src = url;
  });
}
