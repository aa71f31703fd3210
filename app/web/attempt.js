// Owns trying an operation from the page: its parameters, its body, the answer; does not describe it.
import { element } from "./schema.js";

const MOST_SHOWN = 20_000; // characters of an answer

/** A form for one operation. `body`: the media types of its request, as OpenAPI has them. */
export function attempt(method, path, parameters, body) {
  const inputs = parameters.map((parameter) => [parameter, field(parameter)]);
  const upload = body ? sources(body) : null;
  const answer = element("pre", { tabindex: "0", hidden: "", "aria-label": "Answer" });
  const status = element("p", { class: "fine", role: "status" });
  const button = element("button", { type: "button", class: "primary small" }, "Send");
  button.addEventListener("click", async () => {
    if (button.ariaDisabled) return;
    button.ariaDisabled = "true"; // `disabled` would lose the keyboard's place
    try {
      const { url, options } = request(method, path, inputs, upload);
      const startedAt = performance.now();
      const response = await fetch(url, options);
      const kind = response.headers.get("Content-Type") ?? "";
      const shown = kind.startsWith("image/")
        ? await picture(response)
        : pretty(await response.text()).slice(0, MOST_SHOWN);
      status.textContent = `${response.status} ${response.statusText}, ${Math.round(performance.now() - startedAt)} ms`;
      answer.replaceChildren(shown);
      answer.hidden = false;
    } catch (error) {
      status.textContent = `The service cannot be reached. (${error.message})`;
    } finally {
      button.ariaDisabled = null;
    }
  });
  const fields = inputs.map(([parameter, input]) => element("label", null, `${parameter.name} `, input));
  return element("div", { class: "attempt" }, ...fields, ...(upload?.elements ?? []), button, status, answer);
}

function field({ name, schema, example }) {
  const words = schema?.type === "boolean" ? [true, false] : schema?.enum;
  if (words) {
    const others = words.filter((each) => each !== schema.default).map((each) => element("option", null, String(each)));
    return element("select", { name }, element("option", { value: "" }, String(schema.default ?? "–")), ...others);
  }
  return element("input", { type: "text", name, placeholder: String(schema?.default ?? example ?? "") });
}

/** Where a body may come from: a file where bytes are taken, and a text where JSON is. */
function sources(body) {
  const json = body["application/json"];
  const file = Object.keys(body).some((type) => !type.includes("json")) ? element("input", { type: "file" }) : null;
  const example = json?.example ?? Object.values(json?.examples ?? {})[0]?.value;
  const text = json
    ? element("textarea", { rows: "4", spellcheck: "false" }, example ? JSON.stringify(example, null, 2) : "")
    : null;
  const elements = [];
  if (file) elements.push(element("label", null, "A file ", file));
  if (text) elements.push(element("label", null, file ? "or JSON " : "JSON ", text));
  return { elements, read: () => file?.files[0] ?? text?.value, isJson: () => !file?.files[0] };
}

function request(method, path, inputs, upload) {
  const options = { method: method.toUpperCase(), headers: {} };
  const query = new URLSearchParams();
  let filled = path.replace(/^\//, ""); // relative, so that a prefix of a proxy stays
  for (const [{ name, in: place }, { value }] of inputs) {
    if (place === "path") filled = filled.replace(`{${name}}`, encodeURIComponent(value));
    else if (value && place === "query") query.set(name, value);
    else if (value && place === "header") options.headers[name] = value;
  }
  if (upload) {
    options.body = upload.read();
    if (upload.isJson()) options.headers["Content-Type"] = "application/json";
  }
  return { url: query.size ? `${filled}?${query}` : filled, options };
}

async function picture(response) {
  const image = element("img", { alt: "The answer, a picture", src: URL.createObjectURL(await response.blob()) });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  return image;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
