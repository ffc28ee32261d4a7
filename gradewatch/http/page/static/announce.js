// What a screen reader is told of unasked: that the state of things changed, never that a figure did.

import { visible } from "./format.js";

let last = null;

/** Says `text` once for as long as `key` stays the same. The first one is on the page already and is not repeated. */
export function announce(key, text) {
  if (last !== null && last !== key) document.getElementById("announce").textContent = visible(text);
  last = key;
}

let timer;

/** The outcome of something the person did, seen and heard. */
export function notice(text, level = "ok") {
  const place = document.getElementById("notice");
  place.textContent = visible(text);
  place.dataset.level = level;
  clearTimeout(timer);
  timer = setTimeout(() => { place.textContent = ""; }, 12000);
}
