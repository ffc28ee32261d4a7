// Ages that grow between two answers, without a word to screen readers.

import { span } from "./format.js";

const now = () => performance.now() / 1000;

let ticks = 0;
let offset = 0; // seconds that the answer being rendered was old when it came

/** When the answer being rendered was true, in seconds of this page's own clock. */
export function asOf(ageSeconds) {
  offset = now() - ageSeconds;
}

export function sinceAnswer() {
  return now() - offset;
}

/** The instant at which something was `seconds` younger than when the answer was true. */
export function born(seconds) {
  return (offset - seconds).toFixed(1);
}

const MANY = 300; // ages: more of them change so seldom, for the browser lays the whole table out anew
const SELDOM = 10;

/** Called once a second. */
export function grow() {
  const ages = document.querySelectorAll("[data-born]");
  ticks += 1;
  if (ages.length > MANY && ticks % SELDOM) return;
  for (const one of ages) {
    const text = span(now() - Number(one.dataset.born));
    if (one.textContent !== text) one.textContent = text;
  }
}
