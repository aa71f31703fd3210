// Owns the heat map over a photograph: what the model looked at, asked for when somebody wants to know.
import { failure } from "./words.js";

const NOT_HERE = [404, 405, 501];

export class Heat {
  #card;
  #client;
  #asked = null;

  constructor(card, client) {
    this.#card = card;
    this.#client = client;
    card.part(".look").addEventListener("click", () => this.#toggle());
    card.part(".opacity input").addEventListener("input", () => this.#fade());
  }

  /** Shows the button, where the service can explain and the photograph can be seen. */
  offer(model) {
    this.preprocess = model?.preprocess;
    const able = document.documentElement.dataset.explain === "true" && !this.#card.part("figure").dataset.kind;
    this.#card.part(".look").hidden = !able;
  }

  async #toggle() {
    const button = this.#card.part(".look");
    const canvas = this.#card.part(".heat");
    if (!this.#asked) {
      if (button.ariaDisabled) return;
      button.ariaDisabled = "true"; // `disabled` would lose the keyboard's place
      try {
        this.#asked = await this.#client.explain(this.#card.file, { signal: this.#card.signal });
      } catch (error) {
        if (NOT_HERE.includes(error.status)) document.documentElement.dataset.explain = "false";
        button.textContent = failure(error);
        return;
      } finally {
        button.ariaDisabled = null;
      }
      draw(this.#asked, canvas, this.#card.part("img"), this.preprocess);
      this.#card.part(".weights").textContent = spread(this.#asked.grid.flat());
    }
    canvas.hidden = !canvas.hidden;
    this.#card.part(".opacity").hidden = this.#card.part(".weights").hidden = canvas.hidden;
    button.setAttribute("aria-pressed", String(!canvas.hidden));
    this.#fade();
  }

  #fade() {
    this.#card.part(".heat").style.opacity = this.#card.part(".opacity input").value / 100;
  }
}

/** How far apart the weights are, in words. */
function spread(weights) {
  const even = weights.reduce((sum, each) => sum + each) / weights.length;
  const [least, most, mean] = [Math.min(...weights), Math.max(...weights), even].map((each) =>
    Number((100 * each).toPrecision(2)),
  );
  return `Weights ${least} to ${most}\u00a0%, even would be ${mean}\u00a0%`;
}

/**
 * Smoothly, from clear (looked past) to warm (looked at), where the model's square lies on the photograph. As warm as
 * the weights are apart: where they are nearly even, nothing is.
 */
function draw({ grid, rows, columns }, canvas, image, preprocess) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const scale = Math.min(640 / Math.max(width, height), 1);
  canvas.width = width * scale;
  canvas.height = height * scale;
  const values = grid.flat();
  const least = Math.min(...values);
  const most = Math.max(...values) || 1;
  const small = new OffscreenCanvas(columns, rows);
  const pixels = new ImageData(columns, rows);
  values.forEach((value, index) => pixels.data.set(colour((value - least) / most), 4 * index));
  small.getContext("2d").putImageData(pixels, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  const [w, h] = seen(canvas.width, canvas.height, preprocess);
  context.drawImage(small, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
}

/** Width and height, about the photograph's centre, of what the model sees of it; timm's crop modes. */
function seen(width, height, preprocess) {
  const { crop_mode: mode = "squash", crop_pct: share = 1, resize_px: resized, ...input } = preprocess ?? {};
  if (mode === "squash" || Array.isArray(resized)) {
    const [tall, wide] = Array.isArray(resized)
      ? [input.height / resized[0], input.width / resized[1]]
      : [share, share];
    return [width * wide, height * tall];
  }
  const edge = (mode === "border" ? Math.max : Math.min)(width, height);
  const side = edge * (resized ? input.height / resized : share);
  return [(side * input.width) / input.height, side];
}

/** Red, green, blue and alpha, 0 … 255, of a heat of 0 … 1: indigo, magenta, orange, pale yellow. */
function colour(heat) {
  const stops = [
    [28, 16, 84],
    [140, 30, 130],
    [240, 96, 60],
    [255, 232, 140],
  ];
  const at = heat * (stops.length - 1);
  const index = Math.min(Math.floor(at), stops.length - 2);
  const mixed = stops[index].map((from, part) => from + (stops[index + 1][part] - from) * (at - index));
  return [...mixed, 60 + 180 * heat];
}
