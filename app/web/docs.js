// Owns the page at /docs: what openapi.json says, operation by operation; does not know which there are.
import { attempt } from "./attempt.js";
import { Schemas, element, prose } from "./schema.js";

const METHODS = ["get", "post", "put", "patch", "delete", "options", "head"];

async function show() {
  const openapi = await (await fetch("openapi.json")).json();
  const schemas = new Schemas(openapi);
  document.getElementById("about").textContent =
    `${openapi.info.title} ${openapi.info.version}. ${openapi.info.description ?? ""}`;
  for (const [path, operations] of Object.entries(openapi.paths)) {
    for (const method of METHODS.filter((each) => operations[each])) {
      const operation = operations[method];
      const shared = operations.parameters ?? [];
      const parameters = [...shared, ...(operation.parameters ?? [])].map((each) => schemas.found(each));
      document.getElementById("operations").append(described({ method, path, operation, parameters }, schemas));
      const link = element("a", { href: `#${anchor(method, path)}` }, badge(method), element("span", null, path));
      document.getElementById("contents").append(element("li", null, link));
    }
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

const anchor = (method, path) => `${method}${path.replaceAll(/[^a-z0-9]+/gi, "-")}`;
const badge = (method) => element("span", { class: `method ${method}` }, method.toUpperCase());

function described({ method, path, operation, parameters }, schemas) {
  const id = anchor(method, path);
  const body = schemas.found(operation.requestBody).content;
  const section = element(
    "section",
    { class: "panel", id, "aria-labelledby": `${id}-title` },
    element("h2", { id: `${id}-title` }, badge(method), " ", element("code", null, path)),
    operation.summary ? element("p", { class: "summary" }, operation.summary) : null,
    ...(operation.description ?? "")
      .split(/\n\s*\n/)
      .filter(Boolean)
      .map(prose),
  );
  if (parameters.length) section.append(element("h3", null, "Parameters"), listed(parameters, schemas));
  if (body)
    section.append(
      element("h3", null, "Body"),
      ...Object.entries(body).map(([type, media]) => content(type, media, schemas)),
    );
  section.append(
    element("h3", null, "Answers"),
    ...Object.entries(operation.responses).map(([status, response]) =>
      answer(status, schemas.found(response), schemas),
    ),
  );
  const summary = element("summary", null, "Try it");
  const trial = element("details", { class: "try" }, summary);
  trial.addEventListener(
    "toggle",
    () => trial.childElementCount === 1 && trial.append(attempt(method, path, parameters, body)),
  );
  section.append(trial);
  return section;
}

function listed(parameters, schemas) {
  return element(
    "ul",
    { class: "properties" },
    ...parameters.map(({ name, in: place, required, description, schema }) => {
      const head = element(
        "div",
        null,
        element("code", null, name),
        " ",
        element("span", { class: "type" }, `${schemas.words(schema ?? {})}, in the ${place}`),
        required ? element("span", { class: "required" }, " required") : null,
      );
      return element("li", null, head, description ? prose(description) : null);
    }),
  );
}

function content(type, { schema = {}, example, examples }, schemas) {
  const given = schemas.found(schema);
  const sample = example ?? given.example ?? Object.values(examples ?? {})[0]?.value;
  const choices = given.anyOf ?? given.oneOf ?? [schema];
  const block = element(
    "div",
    { class: "content" },
    element("div", null, element("code", null, type), " ", element("span", { class: "type" }, schemas.words(schema))),
  );
  for (const choice of choices) {
    if (!schemas.found(choice).properties) continue;
    block.append(
      element(
        "details",
        null,
        element("summary", null, schemas.name(choice) ?? "Fields"),
        schemas.list(choice, [choice.$ref]),
      ),
    );
    const one = sample ?? schemas.found(choice).example;
    if (one)
      block.append(
        element(
          "details",
          null,
          element("summary", null, "Example"),
          element("pre", { tabindex: "0" }, JSON.stringify(one, null, 2)),
        ),
      );
  }
  return block;
}

function answer(status, { description, content: media }, schemas) {
  const kind = status.startsWith("2") ? "fine-status" : "other-status";
  const summary = element("summary", null, element("strong", { class: kind }, status), ` ${description ?? ""}`);
  const inside = Object.entries(media ?? {}).map(([type, each]) => content(type, each, schemas));
  return inside.length
    ? element("details", { class: "answer" }, summary, ...inside)
    : element("p", { class: "answer" }, ...summary.childNodes);
}

show().catch((error) => {
  document.getElementById("about").textContent = `openapi.json cannot be read: ${error.message}`;
});
