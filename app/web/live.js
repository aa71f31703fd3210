// Owns the panel of what the service does right now, asked for each second while it can be seen.
import { byId, count, ms, short } from "./words.js";

const EVERY_MS = 1000;
const SILENT_EVERY_MS = 5000;
const KEPT = 60;
const rates = [];

export function watchLive() {
  let timer = 0;
  const look = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    const there = await show();
    timer = setTimeout(look, there ? EVERY_MS : SILENT_EVERY_MS);
  };
  document.addEventListener("visibilitychange", look);
  look();
}

async function show() {
  let now;
  try {
    const response = await fetch("page/live");
    if (!response.ok) throw new Error(response.statusText);
    now = await response.json();
  } catch {
    pulse("silent", "No answer");
    return false;
  }
  pulse(now.ready ? "ready" : "silent", now.ready ? "Ready" : "Not ready");
  const known = now.window_s !== null && now.window_s !== undefined;
  if (known) rates.push(now.requests_per_s);
  if (rates.length > KEPT) rates.shift();
  const text = (value, worded = short) => (value === null || value === undefined ? "–" : worded(value));
  for (const [id, value] of Object.entries({
    rate: text(now.requests_per_s),
    p50: text(now.p50_ms, ms),
    p99: text(now.p99_ms, ms),
    queue: text(now.queue_depth),
    inside: now.slots ? `${now.in_flight} of ${now.slots}` : "–",
    refused: text(now.refused),
    connections: text(now.connections),
  }))
    byId(`live-${id}`).textContent = value;
  drawRates();
  if (known) drawBatches(now.batches);
  return true;
}

function pulse(state, text) {
  byId("pulse").dataset.state = state;
  byId("pulse").textContent = text;
}

function drawRates() {
  const most = Math.max(...rates, 1);
  const points = rates.map(
    (rate, at) => `${240 - (rates.length - 1 - at) * (240 / (KEPT - 1))},${45 - 40 * (rate / most)}`,
  );
  if (!points.length) return;
  const line = `M${points.join("L")}`;
  byId("spark").querySelector(".line").setAttribute("d", line);
  const [first] = points[0].split(",");
  byId("spark").querySelector(".area").setAttribute("d", `${line}L240,48L${first},48Z`);
}

function drawBatches(batches) {
  const last = batches.findLastIndex(([, many]) => many > 0);
  const shown = batches.slice(0, Math.max(last + 1, 4));
  const most = Math.max(...shown.map(([, many]) => many), 1);
  byId("live-batches").replaceChildren(
    ...shown.map(([size, many], at) => {
      const column = document.createElement("li");
      const from = at ? batches[at - 1][0] + 1 : 1;
      const name = size === null ? `${from}+` : from >= size ? `${size}` : `${from}–${size}`;
      const bar = Object.assign(document.createElement("span"), { className: "column" });
      bar.style.setProperty("--share", many / most);
      column.append(bar, Object.assign(document.createElement("span"), { textContent: name }));
      column.title = count(many, "batch", "batches");
      column.setAttribute("aria-label", `${name} ${name === "1" ? "image" : "images"}: ${column.title}`);
      return column;
    }),
  );
}
