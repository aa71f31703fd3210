// Owns two answers side by side; does not ask for any.
import { count, ms, scoreText } from "./words.js";

export class Comparison {
  #chosen = [];

  constructor(dialog, hint) {
    Object.assign(this, { dialog, hint });
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => [...this.#chosen].forEach((card) => this.forget(card)));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
  }

  /** Chooses a card, or leaves it again; the second one opens the comparison. */
  toggle(card) {
    if (this.#chosen.includes(card)) return this.forget(card);
    this.#chosen.push(card);
    this.#show(card, true);
    if (this.#chosen.length === 2) {
      this.#fill(...this.#chosen);
      this.dialog.showModal();
    }
  }

  forget(card) {
    this.#chosen = this.#chosen.filter((each) => each !== card);
    this.#show(card, false);
  }

  #show(card, pressed) {
    card.part(".compare").setAttribute("aria-pressed", String(pressed));
    this.hint.hidden = this.#chosen.length !== 1;
    this.hint.textContent = `Choose “Compare” at another picture, to see it beside ${this.#chosen[0]?.file.name}.`;
  }

  #fill(...cards) {
    this.dialog.querySelector(".pair").replaceChildren(...cards.map(side));
    const [left, right] = cards.map((card) => new Map(card.answer.predictions.map((each) => [each.label, each.score])));
    const labels = [...new Set([...left.keys(), ...right.keys()])];
    const most = (label) => Math.max(left.get(label) ?? -Infinity, right.get(label) ?? -Infinity);
    labels.sort((a, b) => most(b) - most(a));
    const { activation } = cards[0].answer;
    this.dialog.querySelector("tbody").replaceChildren(
      ...labels.map((label) => {
        const row = document.createElement("tr");
        const name = Object.assign(document.createElement("th"), { scope: "row", textContent: label });
        row.append(cell(left.get(label), activation), name, cell(right.get(label), activation));
        return row;
      }),
    );
  }
}

function side({ answer, file, url }) {
  const figure = document.createElement("figure");
  const image = Object.assign(document.createElement("img"), { src: url, alt: "" });
  const caption = document.createElement("figcaption");
  const [best] = answer.predictions;
  const name = Object.assign(document.createElement("strong"), { textContent: best.label });
  const facts = `${ms(answer.timing_ms.total)} in the service, batch of ${count(answer.batch_size, "image")}`;
  const rest = [file.name, facts].map((text) => Object.assign(document.createElement("span"), { textContent: text }));
  caption.append(name, ...rest);
  figure.append(image, caption);
  return figure;
}

function cell(score, activation) {
  const given = document.createElement("td");
  const number = Object.assign(document.createElement("span"), { className: "number" });
  number.textContent = score === undefined ? "–" : scoreText(score, activation);
  given.append(number);
  if (score !== undefined && activation !== "none") {
    const fill = Object.assign(document.createElement("span"), { className: "fill" });
    fill.style.setProperty("--share", score);
    given.append(fill);
  }
  return given;
}
