// Owns what the page does: shows the model, sends every picture as a request of its own, shows the answer.
"use strict";

const byId = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
const ms = (value) => `${value.toFixed(1)} ms`;
const meanings = {
  sigmoid: "Each score is on its own: a picture may show several of the classes, or none.",
  none: "The model's own numbers, not shares.",
};
let bound = "the threshold"; // until the model is known

async function fetchJson(url, options) {
  try {
    const response = await fetch(url, options);
    return [response, await response.json()];
  } catch {
    throw new Error("The service cannot be reached.");
  }
}

async function showModel() {
  const { name, labels, parameters, precision, device, notice, threshold } = (await fetchJson("v1/model"))[1];
  const millions = (parameters / 1e6).toFixed(1);
  byId("model").textContent = `${name}: ${labels.length} classes, ${millions} million parameters, ${precision} on ${device}`;
  say(byId("notice"), notice);
  if (threshold) bound = percent(threshold);
}

function say(element, text) {
  element.textContent = text ?? "";
  element.hidden = !text;
}

async function ask(file) {
  const article = byId("answer").content.firstElementChild.cloneNode(true);
  const part = (selector) => article.querySelector(selector);
  const picture = part("img");
  picture.src = URL.createObjectURL(file);
  picture.onload = () => URL.revokeObjectURL(picture.src);
  picture.onerror = () => { URL.revokeObjectURL(picture.src); picture.removeAttribute("src"); };
  part("h2").textContent = file.name;
  byId("answers").prepend(article);
  try {
    const [response, answer] = await fetchJson("v1/classify", { method: "POST", body: file });
    if (!response.ok) throw new Error(failure(response, answer));
    part(".state").remove();
    say(part(".scores"), meanings[answer.activation]);
    part("ol").replaceChildren(...answer.predictions.map((prediction) => row(prediction, answer.activation)));
    part(".timing").textContent = timing(answer);
    if (answer.confidence === "low") say(part(".warning"), unsure());
  } catch (error) {
    part(".state")?.remove();
    say(part(".warning"), error.message);
  }
}

function row({ label, score }, activation) {
  const item = byId("prediction").content.firstElementChild.cloneNode(true);
  item.querySelector(".label").textContent = label;
  const number = activation === "none";
  item.querySelector(".score").textContent = number ? Number(score.toPrecision(4)) : percent(score);
  if (number) item.querySelector("meter").remove();
  else item.querySelector("meter").value = score;
  return item;
}

function timing({ timing_ms: t, batch_size: size, request_id: id }) {
  const stages = `decode ${ms(t.decode)} · queue ${ms(t.queue)} · inference ${ms(t.inference)} · total ${ms(t.total)}`;
  return `${stages} · batch of ${size} · request ${id}`;
}

function unsure() {
  return `Low confidence: the best score is below ${bound}, above which 95\u00a0% of the model's answers to its ` +
    "validation images were right. The picture may show none of its classes.";
}

function failure(response, { error, code, request_id: id }) {
  const again = response.headers.get("Retry-After");
  return `${error} (${code}, request ${id})` + (again ? `; try again in ${again} s` : "");
}

const askAll = (files) => Array.from(files).forEach(ask);
const drop = byId("drop");
byId("files").onchange = ({ target }) => { askAll(target.files); target.value = ""; };
document.onpaste = ({ clipboardData }) => askAll(clipboardData.files);
document.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
document.ondragleave = () => drop.classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  askAll(event.dataTransfer.files);
};
byId("command").textContent = `curl --data-binary @photo.jpg ${new URL("v1/classify", location)}`;
showModel().catch((error) => { byId("model").textContent = error.message; });
