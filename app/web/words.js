// Owns how numbers and verdicts are worded; touches no document but to find a part of it.

export const byId = (id) => document.getElementById(id);
export const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
export const ms = (value) => `${value < 0.05 ? 0 : value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0ms`;
export const count = (value, one, many = `${one}s`) => `${value}\u00a0${value === 1 ? one : many}`;
export const short = (value) => (value >= 100 ? Math.round(value) : Number(value.toPrecision(2))).toLocaleString("en");

const ACTIVATIONS = {
  softmax: "The scores of all classes add up to 100\u00a0%.",
  sigmoid: "Each score is on its own: a picture may show several of the classes, or none.",
  none: "The model's own numbers, not shares.",
};

/** What the scores mean and what `confidence` does, in sentences. */
export function meaning({ activation, confidence }, threshold) {
  const bound = threshold ? percent(threshold) : "the threshold";
  const right = `${bound}, above which 95\u00a0% of the model's answers to its validation images were right`;
  const sentence = {
    high: `High confidence: the best score is above ${right}.`,
    low: `Low confidence: the best score is below ${right}. The picture may show none of its classes.`,
  }[confidence];
  return [sentence, ACTIVATIONS[activation]].filter(Boolean).join(" ");
}

/** A score as a person reads it: a share, or a regression's number. */
export const scoreText = (score, activation) =>
  activation === "none" ? String(Number(score.toPrecision(4))) : percent(score);

/** What went wrong, whoever noticed. */
export function failure(error) {
  const { message, code, status, requestId, retryAfterMs } = error;
  if (!status) return message;
  const again = retryAfterMs ? ` Try again in ${Math.ceil(retryAfterMs / 1000)} s.` : "";
  return `${message[0].toUpperCase()}${message.slice(1)} (${code}${requestId ? `, request ${requestId}` : ""}).${again}`;
}

/** A definition list's rows. */
export function rows(list, entries) {
  list.replaceChildren(
    ...entries
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => {
        const row = document.createElement("div");
        for (const [tag, text] of [
          ["dt", name],
          ["dd", value],
        ])
          row.append(Object.assign(document.createElement(tag), { textContent: text }));
        return row;
      }),
  );
}
