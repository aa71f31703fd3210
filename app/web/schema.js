// Owns JSON schemas as people read them: types in words, properties as lists; does not fetch.

/** An element with children; text stays text. */
export function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) if (value !== undefined) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

/** Text in which `code` and lines are what they are in Markdown. */
export function prose(text = "") {
  return element(
    "p",
    null,
    ...text.split(/(`[^`]+`)/).map((part) => (/^`.+`$/.test(part) ? element("code", null, part.slice(1, -1)) : part)),
  );
}

export class Schemas {
  constructor(document) {
    this.document = document;
  }

  /** What a `$ref` leads to, or the node itself. */
  found(node) {
    if (!node?.$ref) return node ?? {};
    return this.found(
      node.$ref
        .slice(2)
        .split("/")
        .reduce((place, key) => place?.[key], this.document),
    );
  }

  name(node) {
    return node.$ref?.split("/").pop();
  }

  /** A type in words: `list of PredictionOut`, `number or null`. */
  words(node) {
    if (node.$ref) return this.name(node);
    const choices = node.anyOf ?? node.oneOf;
    if (choices) return choices.map((each) => this.words(each)).join(" or ");
    if (node.const !== undefined) return JSON.stringify(node.const);
    if (node.enum) return node.enum.map((each) => JSON.stringify(each)).join(", ");
    if (node.type === "array") return node.items ? `list of ${this.words(node.items)}` : "list";
    return [node.type ?? "anything", node.format && `(${node.format})`].filter(Boolean).join(" ");
  }

  /** The properties of a schema, those of its parts inside them. */
  list(node, seen = []) {
    const schema = this.found(node);
    const required = schema.required ?? [];
    return element(
      "ul",
      { class: "properties" },
      ...Object.entries(schema.properties ?? {}).map(([name, value]) => {
        const head = [element("code", null, name), " ", element("span", { class: "type" }, this.words(value))];
        if (required.includes(name)) head.push(" ", element("span", { class: "required" }, "required"));
        const item = element("li", null, element("div", null, ...head));
        if (value.description) item.append(prose(value.description));
        for (const part of this.#parts(value)) {
          if (seen.includes(part.$ref) || !this.found(part).properties) continue;
          item.append(
            element(
              "details",
              null,
              element("summary", null, this.name(part) ?? "its fields"),
              this.list(part, [...seen, part.$ref]),
            ),
          );
        }
        return item;
      }),
    );
  }

  /** The schemas with fields that a value may be or hold. */
  #parts(value) {
    if (value.anyOf ?? value.oneOf) return (value.anyOf ?? value.oneOf).flatMap((each) => this.#parts(each));
    return value.items ? this.#parts(value.items) : value.$ref || value.properties ? [value] : [];
  }
}
