// The bar on top: how fresh this page is, and what may be done.

import { sinceAnswer } from "./ages.js";
import { h } from "./dom.js";
import { span } from "./format.js";
import { token } from "./token.js";

const LIVE = { open: "Live", opening: "Connecting", broken: "Not live", closed: "Not live" };

/** Is what the page shows still what is so? */
export function freshness(stream, state) {
  const old = sinceAnswer();
  const stale = state.failed || old > state.overview.stale_after || stream.state === "broken";
  return { old, stale, word: stale && stream.state === "open" ? "Old" : LIVE[stream.state] };
}

export function barView(stream, state) {
  const { old, stale, word } = freshness(stream, state);
  const retry = stream.state === "broken" ? `, trying again${stream.retryIn > 1 ? ` in ${span(stream.retryIn)}` : ""}` : "";
  return [
    h("span", { class: "live", "data-level": stale ? "warning" : "ok", id: "live" }, h("span", { class: "dot", "aria-hidden": "true" }), `${word} · ${span(old)} old${retry}`),
    state.overview.watch.writes ? buttons(state.overview.watch) : null,
  ];
}

function buttons(watch) {
  const [action, text] = watch.pause ? ["resume", "Resume repairs"] : ["pause", "Pause repairs"];
  return h(
    "span",
    { class: "buttons" },
    h("button", { type: "button", "data-action": action, id: "hold" }, text),
    token.get() ? h("button", { type: "button", class: "quiet", "data-action": "forget", id: "forget" }, "Forget token") : null,
  );
}

export function staleView(stream, state) {
  const { old, stale } = freshness(stream, state);
  if (!stale || state.failed) return null; // then it is the headline
  const reason = stream.state === "broken" ? "The live stream broke." : "The watch has not told of a cycle.";
  const going = "The page asks by itself meanwhile.";
  const seen = old > 2 ? ` What you see is ${span(old)} old.` : "";
  return h("p", { class: "stale", "data-key": "stale" }, h("strong", {}, reason), ` ${going}${seen}`);
}

export function footView(overview) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const writes = overview.watch.writes
    ? ""
    : "This page only reads: no token is set under [http], so nothing can be changed from here. ";
  return [h("p", {}, `${writes}Times are in ${zone}. Gradewatch ${overview.version}, store ${overview.store.kind || "unknown"}, cycle ${overview.cycle ?? "–"}.`)];
}
