/** Bytes of pixels, four for each, row by row. `ImageData.data` is such an array, and so is a Buffer of Node. */
export type Rgba = Uint8Array | Uint8ClampedArray;

/** A class and how probable it is. */
export interface Score {
  label: string;
  index: number;
  probability: number;
}

/** What the server says of any image: who answered, and what it took. */
export interface Result {
  /** The network that answered; `brownout` is the best answer so far of a server that is too busy to ask for more. */
  stage: "low" | "high" | "brownout";
  /** How many layers the answer is made of. */
  layers: number;
  model: string;
  /** From a server of several models. */
  version?: string;
  /** Milliseconds in the server. */
  timings: { queue_ms: number; compute_ms: number };
  /** Payload bytes that were sent, including any that were sent again. */
  bytesSent: number;
}

/** The answer to one image: that of the REST interface, and how many payload bytes it took. */
export interface Answer extends Result {
  label: string;
  index: number;
  confidence: number;
  /** Best first, as many as were asked for. */
  top: Score[];
  /** Whether the confidence reaches the threshold of the operating point. */
  confident: boolean;
}

/** The pixels of a thing: height and width, and COCO's compressed run-lengths. Stretched to the picture, it fits it. */
export interface Mask {
  size: [number, number];
  counts: string;
}

/** A thing that was found. */
export interface Detection {
  label: string;
  index: number;
  probability: number;
  /** Left, top, right and bottom, as fractions of the picture. */
  box: [number, number, number, number];
  /** If the model has masks. */
  mask?: Mask;
}

/** What was found in one picture. */
export interface Detected extends Result {
  task: "detect";
  /** By falling probability; there may be none. */
  detections: Detection[];
  /** Whether nothing was left in doubt. */
  confident: boolean;
}

export interface ClientOptions {
  /** A bearer token, where the server asks for one. */
  token?: string;
  /** An operating point of the model's card; without it the card's default. */
  operatingPoint?: string;
  /** NAME or NAME:VERSION, where the server has several models. */
  model?: string;
  /** A quality of the profile; without it the profile's default. */
  quality?: number;
  /** How many classes an answer carries, 1 by default. */
  top?: number;
  /** Milliseconds for one image, retries included; 10,000 by default. */
  timeout?: number;
  /** How many layers go together in the first request; `auto` by default. */
  policy?: Policy;
}

/**
 * How many layers are sent before the server asks: `auto` measures the link and the server, and chooses for each image what
 * is worth it, `on_demand` sends the first one alone, and `at_once` all of them.
 */
export type Policy = "auto" | "on_demand" | "at_once";

export interface CallOptions {
  signal?: AbortSignal;
}

/** Classifies images, or finds things in pictures, at one server. */
export class Client {
  constructor(url: string | URL, options?: ClientOptions);
  /** The answer to an image, sending layers as the server asks for them. Throws `OvertoneError`. */
  classify(rgba: Rgba, width: number, height: number, options?: CallOptions): Promise<Answer>;
  /** What is in a picture and where, of a server whose model is a detector. Throws `OvertoneError`. */
  detect(rgba: Rgba, width: number, height: number, options?: CallOptions): Promise<Detected>;
  /**
   * Fetch what is missing to encode the first so many layers, or all, while the link is good for example. Otherwise it comes
   * when the server first asks for them.
   */
  fetchTables(layers?: number, options?: CallOptions): Promise<void>;
  /** The whole profile for which the server wants images to be encoded, with its labels; it is fetched with each call. */
  profile(options?: CallOptions): Promise<Profile>;
  /** The card of the server's model. */
  card(options?: CallOptions): Promise<Record<string, unknown>>;
}

/** What went wrong at the server or on the way to it. */
export class OvertoneError extends Error {
  constructor(code: string, message: string, more?: { status?: number; retryAfter?: number | null; cause?: unknown });
  /** The name of a gRPC status, such as `UNAVAILABLE`. */
  readonly code: string;
  /** The HTTP status, 0 without a reply. */
  readonly status: number;
  /** The seconds after which the server wants to be asked again, if it said so. */
  readonly retryAfter: number | null;
}

/** What a device must know to encode for a checkpoint. */
export class Profile {
  /** `fields` is the JSON of `GET /v1/profile`, and `id` its entity tag, in hexadecimal. */
  constructor(fields: object, id: string);
  readonly id: string;
  readonly name: string;
  /** Pixels of a side. */
  readonly size: number;
  readonly labels: string[];
  readonly qualities: number[];
  /** The default quality. */
  readonly quality: number;
  /** How many layers an image has. */
  readonly layers: number;
  /** For how many of them there are tables. */
  readonly encodable: number;
}

/** The codec in WebAssembly, for those who load its module in another way than `Encoder.load`. */
export class Codec {
  private constructor();
  static load(source: BufferSource | Response): Promise<Codec>;
}

/** A whole picture at one quality, for detectors. */
export class Picture {
  private constructor();
  /** The payloads of all layers, of all blocks; first layer first. */
  readonly layers: Uint8Array[];
  /** Pixels of the picture. */
  readonly width: number;
  readonly height: number;
  /**
   * The payloads of all layers, those after the first `after` ones of some blocks only: `mask` is a packed block mask, as
   * the server sends it. Throws a `RangeError` where it is damaged.
   */
  region(mask: Uint8Array, after?: number): Uint8Array[];
}

/** Encodes images for one profile. */
export class Encoder {
  constructor(codec: Codec, profile: Profile);
  /** An encoder with the module of this package, which is loaded once. */
  static load(profile: Profile): Promise<Encoder>;
  readonly profile: Profile;
  /** The payloads of all layers, first layer first. */
  encode(rgba: Rgba, width: number, height: number, quality?: number): Uint8Array[];
  /** A whole picture in a letter box, as detectors want it. */
  picture(rgba: Rgba, width: number, height: number, quality?: number): Picture;
}

/** Whether each pixel of a mask belongs to the thing, 1 or 0, row by row. Throws a `RangeError` where it is damaged. */
export function maskPixels(mask: Mask): Uint8Array;

/** Several payloads in one piece, each after its size, as a REST request carries them. */
export function join(payloads: Uint8Array[]): Uint8Array;
