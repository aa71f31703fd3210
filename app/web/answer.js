// Owns one picture's card, from waiting to answered; does not send the picture.
import { Heat } from "./heat.js";
import { byId, count, meaning, ms, rows, scoreText } from "./words.js";

export class Card {
  done = false;
  failure = null;
  answer = null;
  #gone = new AbortController();

  /** `ways`: what the card's buttons lead to: client, comparison, remove, again. */
  constructor(file, ways) {
    this.file = file;
    this.element = byId("answer").content.firstElementChild.cloneNode(true);
    this.url = URL.createObjectURL(file);
    const name = file.name || "pasted picture";
    this.part("h3").textContent = name;
    const image = this.part("img");
    image.addEventListener("error", () => this.#cannotBeShown());
    image.alt = name;
    image.src = this.url;
    this.part(".remove").setAttribute("aria-label", `Remove ${name}`);
    this.part(".remove").addEventListener("click", () => ways.remove(this));
    this.part(".again").addEventListener("click", () => ways.again(this));
    this.part(".compare").addEventListener("click", () => ways.comparison.toggle(this));
    this.heat = new Heat(this, ways.client);
    this.waits();
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  /** Aborted once the card is gone, and with it whoever waits for its answer. */
  get signal() {
    return this.#gone.signal;
  }

  waits() {
    this.#state("Waiting …");
    this.part("progress").hidden = true;
  }

  asking() {
    this.#state("Asking …");
    this.sent(0);
  }

  /** A share of the upload, 0 … 1, is on its way. */
  sent(share) {
    const bar = this.part("progress");
    bar.hidden = this.done;
    if (share < 1) bar.value = share;
    else bar.removeAttribute("value"); // the service has it, and nobody knows for how long
  }

  answered(answer, model) {
    this.#end();
    this.answer = answer;
    const [best] = answer.predictions;
    this.part(".verdict strong").textContent = best.label;
    this.part(".badge").textContent = scoreText(best.score, answer.activation);
    this.part(".badge").dataset.confidence = answer.confidence ?? "";
    this.part(".scores").replaceChildren(...answer.predictions.map((each) => scoreRow(each, answer.activation)));
    this.part(".meaning").dataset.confidence = answer.confidence ?? "";
    this.part(".meaning").textContent = [answer.notice, meaning(answer, model?.threshold)].filter(Boolean).join(" ");
    this.#showTime(answer);
    rows(this.part(".served"), [
      ["Batch", count(answer.batch_size, "image")],
      ["Model", answer.model],
      ["Engine", model && `${model.engine}, ${model.precision}`],
      ["Request", answer.request_id],
    ]);
    this.heat.offer(model);
    this.part(".outcome").hidden = false;
  }

  /** `hopeless`: the same picture would get the same answer. */
  failed(sentence, hopeless = false) {
    this.#end();
    this.failure = sentence;
    this.part(".error").textContent = sentence;
    this.part(".error").hidden = false;
    this.part(".again").hidden = hopeless;
  }

  /** Nobody will ask any more; it may be tried again. */
  stopped() {
    this.#gone.abort();
    this.#gone = new AbortController();
    this.failed("Stopped before there was an answer.");
  }

  close() {
    this.#gone.abort();
    URL.revokeObjectURL(this.url);
    this.element.remove();
  }

  #state(text) {
    this.done = false;
    this.failure = null;
    this.part(".state").textContent = text;
    this.part(".state").hidden = false;
    this.part(".error").hidden = this.part(".again").hidden = true;
    this.element.setAttribute("aria-busy", "true");
  }

  #end() {
    this.done = true;
    this.part(".state").hidden = this.part("progress").hidden = true;
    this.element.setAttribute("aria-busy", "false");
  }

  #cannotBeShown() {
    const kind = this.file.name?.match(/\.([a-z0-9]{1,5})$/i)?.[1].toUpperCase() ?? "?";
    this.part("figure").dataset.kind = kind; // shown in the picture's place
    this.part(".look").hidden = true;
  }

  /** Server's stages and the network's share; both clocks count, and their differences are rest and network. */
  #showTime({ timing_ms: t, elapsedMs }) {
    const rest = t.total - t.decode - t.queue - t.inference;
    const stages = {
      Network: elapsedMs - t.total,
      Decode: t.decode,
      Queue: t.queue,
      Inference: t.inference,
      Rest: rest,
    };
    const shown = Object.entries(stages).map(([name, value]) => [name, Math.max(value, 0)]);
    this.part(".total").textContent = ms(elapsedMs);
    this.part(".stack").replaceChildren(
      ...shown.map(([name, value]) => {
        const piece = Object.assign(document.createElement("span"), { className: name.toLowerCase() });
        piece.style.flexGrow = value;
        return piece;
      }),
    );
    this.part(".stages").replaceChildren(
      ...shown.map(([name, value]) => {
        const item = document.createElement("li");
        item.className = name.toLowerCase();
        item.textContent = `${name} ${ms(value)}`;
        return item;
      }),
    );
  }
}

function scoreRow({ label, score }, activation) {
  const item = byId("score").content.firstElementChild.cloneNode(true);
  item.querySelector(".label").textContent = label;
  item.querySelector(".number").textContent = scoreText(score, activation);
  if (activation === "none") item.querySelector(".track").remove();
  else item.querySelector(".fill").style.setProperty("--share", score);
  return item;
}
