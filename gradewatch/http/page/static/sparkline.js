// The depth of a queue over the last minutes, as a line without axes: the figures stand beside it.

import { h } from "./dom.js";

const WIDE = 96;
const HIGH = 22;

export function sparkline(depths) {
  const most = Math.max(1, ...depths);
  const [first, last] = [depths[0] ?? 0, depths.at(-1) ?? 0];
  const label = `Depth over the last minutes: from ${first} to ${last}, at most ${Math.max(0, ...depths)}`;
  const step = WIDE / Math.max(1, depths.length - 1);
  const points = depths.map((depth, at) => [at * step, HIGH - 1 - (depth / most) * (HIGH - 4)]);
  const line = points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
  return h(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": label, preserveAspectRatio: "none" },
    depths.length > 1 ? h("path", { class: "area", d: `M0 ${HIGH}L${line}L${WIDE} ${HIGH}Z` }) : null,
    depths.length > 1 ? h("path", { class: "stroke", d: `M${line}` }) : h("line", { class: "stroke", x1: 0, x2: WIDE, y1: HIGH - 1, y2: HIGH - 1 }),
  );
}
