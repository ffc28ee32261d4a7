// Makes one tree like another with as few changes as it takes: focus, selection, what is typed and what is unfolded stay.

// What people change on an element by using it is theirs, not the renderer's.
const THEIRS = { DETAILS: "open", DIALOG: "open" };

export function patch(now, next) {
  if (now.nodeType === Node.TEXT_NODE) {
    if (now.data !== next.data) now.data = next.data;
    return;
  }
  patchAttributes(now, next);
  patchChildren(now, next);
}

function patchAttributes(now, next) {
  const theirs = THEIRS[now.nodeName];
  for (const { name } of [...now.attributes]) {
    if (!next.hasAttribute(name) && name !== theirs) now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name !== theirs && now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
}

function patchChildren(now, next) {
  const keyed = new Map();
  for (const child of now.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let place = now.firstChild;
  for (const wanted of [...next.childNodes]) {
    const found = counterpart(wanted, place, keyed);
    if (!found) {
      now.insertBefore(wanted, place);
    } else {
      if (found === place) place = place.nextSibling;
      else now.insertBefore(found, place);
      patch(found, wanted);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

/** The node that `wanted` is the new state of: the one with its key, else the one in its place if it is of its kind. */
function counterpart(wanted, place, keyed) {
  const key = wanted.dataset?.key;
  if (key) {
    const found = keyed.get(key);
    keyed.delete(key);
    return found?.nodeName === wanted.nodeName ? found : undefined;
  }
  const same = place && place.nodeName === wanted.nodeName && !place.dataset?.key;
  return same ? place : undefined;
}

/** Make the children of `now` those given, and leave the focus where it was. */
export function render(now, children) {
  const next = now.cloneNode(false);
  next.append(...children.filter(Boolean));
  const focused = document.activeElement;
  const within = now.contains(focused);
  patchChildren(now, next);
  if (!within || document.activeElement === focused) return;
  if (focused.isConnected) focused.focus({ preventScroll: true });
  else document.getElementById("main").focus({ preventScroll: true });
}
