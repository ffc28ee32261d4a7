// The stream of cycles. It only says that there is something new; what that is, is asked for. When it breaks it is
// opened again, later each time, and the page asks by itself meanwhile.

import { root } from "./dom.js";

const FIRST_WAIT = 1000; // milliseconds
const LONGEST_WAIT = 30000;

export class Stream {
  /** `onNews` is called for each cycle, `onChange` whenever the stream opens or breaks. */
  constructor(onNews, onChange) {
    Object.assign(this, { onNews, onChange, state: "closed", wait: FIRST_WAIT, retryAt: 0 });
  }

  open() {
    this.close();
    this.state = "opening";
    this.source = new EventSource(`${root}api/events`);
    this.source.addEventListener("open", () => this.#opened());
    for (const kind of ["cycle", "lost"]) this.source.addEventListener(kind, () => this.onNews());
    this.source.addEventListener("error", () => this.#broke());
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    this.state = "closed";
  }

  get retryIn() {
    return Math.max(0, (this.retryAt - performance.now()) / 1000);
  }

  #opened() {
    this.state = "open";
    this.wait = FIRST_WAIT;
    this.onChange();
  }

  /** The browser would try again by itself at one pace for ever, and after a refusal not at all. */
  #broke() {
    this.close();
    this.state = "broken";
    const wait = this.wait * (0.75 + Math.random() / 2); // so that many pages do not come back at once
    this.retryAt = performance.now() + wait;
    this.timer = setTimeout(() => this.open(), wait);
    this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
    this.onChange();
  }
}
