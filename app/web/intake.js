// Owns the ways pictures come in: dropped, pasted, chosen, photographed, tried; does not send them.
import { byId } from "./words.js";

/** Calls `take` with a list of files whenever some come. */
export function watchIntake(take) {
  const give = (files) => files.length && take([...files]);
  for (const input of [byId("files"), byId("camera")]) {
    input.addEventListener("change", () => {
      give(input.files);
      input.value = ""; // so that the same may be chosen again
    });
  }
  document.addEventListener("paste", ({ clipboardData }) => give(clipboardData.files));
  watchDrops(give);
  for (const button of byId("samples").children) {
    button.addEventListener("click", async () => {
      const blob = await (await fetch(button.firstElementChild.src)).blob();
      give([new File([blob], button.dataset.name, { type: blob.type })]);
    });
  }
}

function watchDrops(give) {
  let depth = 0; // of elements entered and not yet left
  const over = (change) => {
    depth = Math.max(depth + change, 0);
    document.body.classList.toggle("over", depth > 0);
  };
  document.addEventListener("dragenter", () => over(1));
  document.addEventListener("dragleave", () => over(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(-Infinity);
    give(event.dataTransfer.files);
  });
}
