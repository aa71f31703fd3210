// Owns the types of vit-client.js; what the answers' fields mean is told by the service, at /docs.

/** An image: a file of a form, its bytes, or whatever else `fetch` sends as a body. */
export type Image = Blob | ArrayBuffer | ArrayBufferView<ArrayBuffer>;

export interface Prediction {
  label: string;
  /** WordNet's id, where the labels are ImageNet's. */
  id?: string;
  index: number;
  score: number;
}

export interface Classification {
  model: string;
  activation: "softmax" | "sigmoid" | "none";
  predictions: Prediction[];
  timing_ms: { decode: number; queue: number; inference: number; total: number };
  batch_size: number;
  confidence?: "high" | "low";
  notice?: string;
  request_id: string;
  /** From sending to answer as seen from here, of the attempt that was answered. */
  elapsedMs: number;
}

export interface Model {
  name: string;
  labels: string[];
  parameters: number;
  preprocess: { height: number; width: number; crop_pct: number; crop_mode: string; [more: string]: unknown };
  device: string;
  engine: string;
  precision: string;
  activation: Classification["activation"];
  threshold: number | null;
  notice: string | null;
  max_batch_size: number;
  lanes: number;
  [more: string]: unknown;
}

export interface Explanation {
  grid: number[][];
  rows: number;
  columns: number;
  [more: string]: unknown;
}

export interface ClientOptions {
  /** For a call with all its attempts; the service is told what is left of it. 30 000. */
  timeoutMs?: number;
  /** Further attempts after 429, 502, 503 or silence. 2. */
  retries?: number;
  /** The random wait before the first of them at most, twice that before the next, besides Retry-After. 200. */
  backoffMs?: number;
  headers?: Record<string, string>;
}

export interface CallOptions extends ClientOptions {
  signal?: AbortSignal;
}

export interface UploadOptions extends CallOptions {
  /** Called with the share of the upload that is done, 0 … 1; browsers only. */
  onUploadProgress?: (share: number) => void;
}

export interface Downscale {
  /** Pixels. 1024. */
  maxEdge?: number;
  /** `image/jpeg`. */
  type?: string;
  /** 0 … 1. 0.9. */
  quality?: number;
}

export interface ClassifyOptions extends UploadOptions {
  topK?: number;
  /** Makes large images smaller before they are sent, which leaves their metadata out too; as they are in Node. */
  downscale?: boolean | Downscale;
}

export type Outcome<I extends Image = Image> =
  | { index: number; image: I; answer: Classification; error?: undefined }
  | { index: number; image: I; answer?: undefined; error: VitError };

export class VitClient {
  /** Throws TypeError for an address without http:// or https://. */
  constructor(url?: string | URL, options?: ClientOptions);
  model(options?: CallOptions): Promise<Model>;
  classify(image: Image, options?: ClassifyOptions): Promise<Classification>;
  classifyMany<I extends Image>(
    images: Iterable<I> | AsyncIterable<I>,
    options?: ClassifyOptions & { concurrency?: number },
  ): AsyncGenerator<Outcome<I>, void, void>;
  explain(image: Image, options?: UploadOptions & { query?: string }): Promise<Explanation>;
  /** A list of numbers for each image; all are answered, or none. */
  embed(images: Iterable<Image>, options?: UploadOptions & { normalize?: boolean }): Promise<number[][]>;
  request(
    path: string,
    options?: UploadOptions & { method?: string; body?: Image | FormData | string },
  ): Promise<{ answer: unknown; elapsedMs: number }>;
}

export function downscaled<I extends Image>(image: I, options?: Downscale): Promise<I | Blob>;

export class VitError extends Error {
  /** Stable: the service's own, or `unreachable`, `timeout`, `bad_answer`. */
  readonly code: string;
  readonly status: number | null;
  readonly requestId: string | null;
  readonly retryAfterMs: number | null;
}
export class ServiceError extends VitError {}
export class UnreachableError extends VitError {}
export class DeadlineError extends VitError {}
