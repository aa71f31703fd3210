// Owns the way to a vit-serve service from a browser, or Node 20.3 and later: requests, patience, errors; draws nothing.

const TRY_AGAIN = [429, 502, 503];

/** Whatever goes wrong. `code` is stable, `message` a sentence for people. */
export class VitError extends Error {
  constructor(message, { code, status = null, requestId = null, retryAfterMs = null, cause } = {}) {
    super(message, { cause });
    Object.assign(this, { name: new.target.name, code, status, requestId, retryAfterMs });
  }
}
/** The service answered with an error: `status`, `code` and `requestId` are its own. */
export class ServiceError extends VitError {}
/** There was no answer: no network, nobody there, or an origin that the service does not allow. */
export class UnreachableError extends VitError {}
/** The time was over before there was an answer. */
export class DeadlineError extends VitError {}

export class VitClient {
  #base;
  #options;

  /** `url`: where the service is, "" for where this page comes from. The options hold for all calls. */
  constructor(url = "", { timeoutMs = 30_000, retries = 2, backoffMs = 200, headers = {} } = {}) {
    const bare = /^[\w.-]+:\d/.test(url); // host:8000, which URLs take for a scheme or a path
    const base = bare ? null : new URL(url, globalThis.document?.baseURI);
    if (!/^https?:$/.test(base?.protocol))
      throw new TypeError(`${url || base} is no http(s) address${bare ? `; did you mean http://${url}?` : ""}`);
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    this.#base = base;
    this.#options = { timeoutMs, retries, backoffMs, headers };
  }

  /** What is served: name, labels, preprocessing, engine. */
  async model(options = {}) {
    return (await this.request("v1/model", options)).answer;
  }

  /** The best classes of one image, a Blob or bytes; `elapsedMs` is how long the answer took as seen from here. */
  async classify(image, { topK, downscale, ...options } = {}) {
    const body = downscale ? await downscaled(image, downscale === true ? {} : downscale) : image;
    const path = topK == null ? "v1/classify" : `v1/classify?top_k=${encodeURIComponent(topK)}`;
    const { answer, elapsedMs } = await this.request(path, { ...options, method: "POST", body });
    return { ...answer, elapsedMs };
  }

  /** Many images, `concurrency` at a time; yields `{index, image, answer}` or `{index, image, error}` as they end. */
  async *classifyMany(images, { concurrency = 4, ...options } = {}) {
    const left = iterate(images);
    const running = new Map();
    let index = 0;
    for (;;) {
      while (running.size < concurrency) {
        const { done, value: image } = await left.next();
        if (done) break;
        const at = index++;
        const ended = (outcome) => ({ index: at, image, ...outcome });
        running.set(
          at,
          this.classify(image, options).then(
            (answer) => ended({ answer }),
            (error) => ended({ error }),
          ),
        );
      }
      if (!running.size) return;
      const first = await Promise.race(running.values());
      running.delete(first.index);
      options.signal?.throwIfAborted();
      yield first;
    }
  }

  /** What the model looked at: `{grid, rows, columns}`, where the service can tell. */
  async explain(image, { query = "", ...options } = {}) {
    return (await this.request(`v1/explain${query}`, { ...options, method: "POST", body: image })).answer;
  }

  /** A list of numbers for each image; all are answered, or none. `normalize`: to a length of 1. */
  async embed(images, { normalize = false, ...options } = {}) {
    const body = new FormData();
    for (const image of images) body.append("image", new Blob([image]));
    const path = `v1/embeddings?normalize=${normalize}`;
    const { answer } = await this.request(path, { ...options, method: "POST", body });
    return answer.data.map(({ embedding }) => embedding);
  }

  /** Any request: `{answer, elapsedMs}`. Tried again after 429, 502, 503 or silence while there is time for it. */
  async request(path, options = {}) {
    const { timeoutMs, retries, backoffMs, headers, signal, ...sent } = { ...this.#options, ...options };
    const until = performance.now() + timeoutMs;
    for (let attempt = 0; ; attempt++) {
      signal?.throwIfAborted();
      try {
        return await this.#once(path, { ...sent, headers: { ...this.#options.headers, ...headers }, signal, until });
      } catch (error) {
        const again = error instanceof UnreachableError || TRY_AGAIN.includes(error.status);
        // Not all at the same instant: those who were refused together would come back together.
        const pauseMs = (error.retryAfterMs ?? 0) + Math.random() * backoffMs * 2 ** attempt;
        if (!again || attempt >= retries || performance.now() + pauseMs >= until) throw error;
        await pause(pauseMs, signal);
      }
    }
  }

  async #once(path, { method = "GET", body, headers, signal, until, onUploadProgress }) {
    const startedAt = performance.now();
    const leftMs = Math.max(Math.ceil(until - startedAt), 1);
    const timeout = AbortSignal.timeout(leftMs);
    const given = {
      method,
      body,
      headers: { ...headers },
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    };
    if (method === "POST") given.headers["X-Request-Timeout-Ms"] = String(leftMs);
    const send = onUploadProgress && globalThis.XMLHttpRequest ? sendByXhr : sendByFetch;
    let response;
    try {
      response = await send(new URL(path, this.#base), given, onUploadProgress);
    } catch (cause) {
      signal?.throwIfAborted();
      if (timeout.aborted) throw new DeadlineError("The service did not answer in time.", { code: "timeout", cause });
      throw new UnreachableError(`The service cannot be reached.${this.#perhaps()}`, { code: "unreachable", cause });
    }
    return { answer: read(response), elapsedMs: performance.now() - startedAt };
  }

  /** Browsers do not tell a page which of the two it was. */
  #perhaps() {
    const { origin } = globalThis.location ?? this.#base;
    return origin === this.#base.origin ? "" : ` Is it up, and does its VIT_CORS_ORIGINS name ${origin}?`;
  }
}

/** The image with no edge longer than `maxEdge` pixels; as it is where that does not help or cannot be done. */
export async function downscaled(image, { maxEdge = 1024, type = "image/jpeg", quality = 0.9 } = {}) {
  const bitmap = await globalThis.createImageBitmap?.(image instanceof Blob ? image : new Blob([image])).catch(() => null);
  const scale = bitmap ? maxEdge / Math.max(bitmap.width, bitmap.height) : 1;
  if (scale >= 1) {
    bitmap?.close();
    return image;
  }
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale) || 1, Math.round(bitmap.height * scale) || 1);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff"; // what is transparent; JPEG knows no such thing
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.convertToBlob({ type, quality });
}

async function sendByFetch(url, options) {
  const response = await fetch(url, options);
  return { status: response.status, header: (name) => response.headers.get(name), text: await response.text() };
}

/** As `sendByFetch`, but tells how much has been sent, which fetch cannot. */
function sendByXhr(url, { method, body, headers, signal }, onUploadProgress) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = ({ loaded, total }) => onUploadProgress(total ? loaded / total : 0);
    xhr.upload.onload = () => onUploadProgress(1);
    xhr.onload = () =>
      resolve({ status: xhr.status, header: (name) => xhr.getResponseHeader(name), text: xhr.responseText });
    xhr.onerror = xhr.onabort = () => reject(new TypeError("no answer"));
    signal.addEventListener("abort", () => xhr.abort(), { once: true });
    xhr.send(body);
  });
}

/** The answer as it was meant. Throws ServiceError unless it is JSON with a status of 2xx. */
function read({ status, header, text }) {
  let document;
  try {
    document = JSON.parse(text);
  } catch {} // a proxy's page, perhaps
  if (status >= 200 && status < 300 && document !== undefined) return document;
  throw new ServiceError(document?.error ?? `The service answered ${status} without a reason.`, {
    code: document?.code ?? "bad_answer",
    status,
    requestId: document?.request_id ?? header("X-Request-ID"),
    retryAfterMs: retryAfterMs(header("Retry-After")),
  });
}

/** Seconds or a date, as RFC 9110 has it. */
function retryAfterMs(value) {
  if (!value) return null;
  const ms = /^\d+$/.test(value) ? 1000 * value : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? null : Math.max(ms, 0);
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(ended, ms);
    signal?.addEventListener("abort", ended, { once: true });
    function ended() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", ended);
      signal?.aborted ? reject(signal.reason) : resolve();
    }
  });
}

async function* iterate(images) {
  yield* images;
}
