// Values as people read them. Whatever a name holds, it is shown as text, in one direction, with its invisible parts seen.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const NAME = 80; // characters of a name shown in a table; the whole is its title

/** Two units at most: 40 s, 3 min 20 s, 2 h 5 min. */
export function span(seconds) {
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [size, unit] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(`${count} ${unit}`);
    else if (parts.length) break;
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

export function number(value) {
  return value.toLocaleString("en");
}

export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** Control characters as their pictures (Unicode's block 2400), those that turn the writing direction as their names. */
export function visible(text) {
  return String(text)
    .replace(/[\u0000-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]/gu, hex);
}

function hex(character) {
  return `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** At most `most` characters, never half an emoji. */
export function cut(text, most = NAME) {
  const characters = Array.from(text);
  return characters.length > most ? `${characters.slice(0, most).join("")}…` : text;
}

/** What a time is called here: the hour today, the day and the hour before. */
export function clock(stamp) {
  const at = new Date(stamp);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}
