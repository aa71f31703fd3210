// Owns what becomes of pictures that come in: each a card and a request, four at a time; knows no card's inside.
import { Card } from "./answer.js";
import { Comparison } from "./compare.js";
import { watchIntake } from "./intake.js";
import { watchLive } from "./live.js";
import { Snippets } from "./snippets.js";
import { VitClient } from "./vit-client.js";
import { byId, count, failure, percent, rows, scoreText } from "./words.js";
import { Queue } from "./queue.js";

const AT_ONCE = 4;
const LATER = [408, 429]; // of 4xx, those that a second try may mend
const FEW = 12; // classes that are named at the top
const FULL = 2; // answers that are shown with everything
const client = new VitClient();
const cards = new Set();
const comparison = new Comparison(byId("comparison"), byId("compare-hint"));
const snippets = new Snippets();
const queue = new Queue(classify, AT_ONCE);
const known = client.model().then(showModel, (error) => {
  byId("model").textContent = failure(error);
  return null;
});

async function classify(card) {
  if (!cards.has(card)) return; // removed while it waited
  const { signal } = card; // after a stop the card has another
  card.asking();
  try {
    const top = byId("top").value;
    const answer = await client.classify(card.file, {
      topK: top ? Math.min(top, (await known)?.labels.length ?? top) : undefined,
      downscale: byId("shrink").checked,
      signal,
      onUploadProgress: (share) => card.sent(share),
    });
    card.answered(answer, await known);
    const [best] = answer.predictions;
    told(`${card.file.name}: ${best.label}, ${scoreText(best.score, answer.activation)}`);
  } catch (error) {
    if (signal.aborted) return;
    card.failed(failure(error), error.status >= 400 && error.status < 500 && !LATER.includes(error.status));
    told(`${card.file.name}: ${failure(error)}`);
  }
}

function take(files) {
  const fresh = files.map((file) => new Card(file, { client, comparison, remove, again }));
  for (const card of fresh) cards.add(card);
  for (const card of cards) card.part(".more").open = cards.size <= FULL;
  byId("answers").prepend(...fresh.map((card) => card.element));
  snippets.show(files[0].name, byId("top").value);
  tally();
  byId("results").scrollIntoView({ block: "start" });
  queue.add(...fresh);
}

function again(card) {
  card.waits();
  card.part(".remove").focus(); // its own button is hidden now
  queue.add(card);
  tally();
}

function remove(card) {
  const next = card.element.nextElementSibling ?? card.element.previousElementSibling;
  (next?.querySelector(".remove") ?? byId("files")).focus();
  cards.delete(card);
  card.close();
  comparison.forget(card);
  tally();
}

function stop() {
  queue.stop();
  for (const card of cards) if (!card.done) card.stopped();
  byId("results-title").focus(); // its own button is hidden now
  tally();
}

function tally() {
  const all = [...cards];
  const done = all.filter((card) => card.done).length;
  const failed = all.filter((card) => card.failure).length;
  const busy = done < all.length;
  byId("results").hidden = !all.length;
  byId("answers").classList.toggle("many", all.length > FULL);
  byId("progress").hidden = !busy || all.length < 2;
  byId("progress").value = done / (all.length || 1);
  byId("stop").hidden = !busy;
  byId("tally").textContent =
    (busy ? `${done} of ${count(all.length, "picture")}` : count(all.length, "picture")) +
    (failed ? `, ${failed} failed` : "");
}

let several = false; // whether the answer before came while others were under way
/** One answer is there; the last of several is told with the tally. */
function told(text) {
  tally();
  const busy = [...cards].some((card) => !card.done);
  say(several && !busy ? `${text}. ${byId("tally").textContent}` : text);
  several = busy;
}

let latest = null;
let saying = 0;
/** For screen readers: at once, and of many in a row the latest of each second. */
function say(text) {
  latest = text;
  if (saying) return;
  byId("spoken").textContent = latest;
  latest = null;
  saying = setTimeout(() => {
    saying = 0;
    if (latest) say(latest);
  }, 1000);
}

function showModel(model) {
  const { name, labels, parameters, precision, device, engine, preprocess, lanes, threshold, notice } = model;
  const few = labels.length <= FEW ? `: ${labels.join(", ")}` : "";
  byId("model").textContent = `This service knows ${count(labels.length, "class", "classes")}${few}.`;
  byId("notice").textContent = notice ?? "";
  byId("notice").hidden = !notice;
  rows(byId("model-facts"), [
    ["Name", name],
    ["Parameters", parameters.toLocaleString("en", { notation: "compact", compactDisplay: "long" })],
    ["Input", `${preprocess.width} × ${preprocess.height} pixels`],
    ["Engine", engine],
    ["Precision", precision],
    ["Device", device],
    ["Batches", `up to ${model.max_batch_size} images, ${lanes} at once`],
    ["Confident from", threshold && percent(threshold)],
  ]);
  byId("class-count").textContent = count(labels.length, "class", "classes");
  byId("class-names").textContent = labels.slice(0, 1000).join(" · ");
  document.documentElement.dataset.explain = String(Boolean(model.capabilities?.explain?.length));
  return model;
}

byId("stop").addEventListener("click", stop);
byId("clear").addEventListener("click", () => {
  queue.stop();
  [...cards].forEach(remove);
});
watchIntake(take);
watchLive();
snippets.show();
