// Owns the same request in other languages, ready to be copied; does not send any.
import { byId } from "./words.js";

const LANGUAGES = ["curl", "python", "javascript"];

export class Snippets {
  #language = "curl";
  #name = "photo.jpg";
  #top = "";

  constructor() {
    const tabs = LANGUAGES.map((language) => byId(`tab-${language}`));
    tabs.forEach((tab, at) => {
      tab.addEventListener("click", () => this.#choose(tabs, at));
      tab.addEventListener("keydown", ({ key }) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
        if (step) this.#choose(tabs, (at + step + tabs.length) % tabs.length);
      });
    });
    byId("copy").addEventListener("click", () => copy(byId("command").textContent, byId("copy")));
    byId("top").addEventListener("change", () => this.show(this.#name, byId("top").value));
  }

  /** The request for a file of that name; `top`: how many classes, "" for the service's own number. */
  show(name = this.#name, top = this.#top) {
    this.#name = name || "photo.jpg";
    this.#top = top;
    byId("command").firstElementChild.textContent = written[this.#language](this.#name, top);
  }

  #choose(tabs, at) {
    tabs.forEach((tab, index) => {
      tab.setAttribute("aria-selected", String(index === at));
      tab.tabIndex = index === at ? 0 : -1;
    });
    tabs[at].focus();
    byId("command").setAttribute("aria-labelledby", tabs[at].id);
    this.#language = LANGUAGES[at];
    this.show();
  }
}

const here = new URL(".", document.baseURI);
const shell = (text) =>
  /^[\w./:=@?&-]+$/.test(text) && !/[?&]/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
const asked = (top) => new URL(top ? `v1/classify?top_k=${top}` : "v1/classify", here).href;

const written = {
  curl: (name, top) => `curl --data-binary ${shell(`@${name}`)} ${shell(asked(top))}`,
  python: (name, top) =>
    `import httpx\n\nwith open(${JSON.stringify(name)}, "rb") as picture:\n` +
    `    answer = httpx.post(${JSON.stringify(asked(top))}, content=picture.read())\n` +
    `for each in answer.raise_for_status().json()["predictions"]:\n    print(f'{each["score"]:6.1%}  {each["label"]}')`,
  javascript: (name, top) =>
    `// on another origin: VIT_CORS_ORIGINS='["https://…"]'\n` +
    `import { VitClient } from ${JSON.stringify(new URL("page/vit-client.js", here).href)};\n\n` +
    `const service = new VitClient(${JSON.stringify(here.href)});\n` +
    `const [picture] = document.querySelector("input[type=file]").files;\n` +
    `const answer = await service.classify(picture${top ? `, { topK: ${top} }` : ""});\n` +
    `for (const { label, score } of answer.predictions) console.log(label, score);`,
};

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // without TLS browsers have no clipboard for pages, except this way
    getSelection().selectAllChildren(byId("command"));
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => {
    button.textContent = "Copy";
  }, 1500);
}
