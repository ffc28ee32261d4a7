// Elements made of plain values. Text reaches the page as text nodes alone: nothing here, or anywhere, parses HTML.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "path", "line", "circle"]);

/** An element; props that are null or false are left out, and children that are too. */
export function h(tag, props, ...children) {
  const made = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false && child !== "") made.append(child);
  }
  return made;
}

/** What the server put into the page, once. */
export function embedded(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

/** Leads to "/" from here, so that a proxy may put the page below any path. */
export const root = document.documentElement.dataset.root;
