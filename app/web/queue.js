// Owns how many pictures are under way at once; does not know what is done with them.

/** Runs `work` for each item that is added, `most` at a time, in their order. Failures are the work's own to tell. */
export class Queue {
  #waiting = [];
  #running = 0;

  constructor(work, most) {
    Object.assign(this, { work, most });
  }

  add(...items) {
    this.#waiting.push(...items);
    while (this.#running < this.most && this.#waiting.length) this.#next();
  }

  /** Forgets what has not begun, and returns it. */
  stop() {
    return this.#waiting.splice(0);
  }

  async #next() {
    this.#running++;
    while (this.#waiting.length) await this.work(this.#waiting.shift());
    this.#running--;
  }
}
