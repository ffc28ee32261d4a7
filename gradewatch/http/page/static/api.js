// Questions and orders to the watch: each with a deadline, each failure with what it means and what to do.

import { root } from "./dom.js";

const DEADLINE = 12000; // milliseconds: a little longer than the watch's own

export class Refused extends Error {
  constructor(status, { code, message, fix }) {
    super(message);
    Object.assign(this, { status, code, fix: fix ?? "" });
  }
}

/** The JSON under a path and how old it was, in seconds. */
export async function ask(path) {
  const answer = await send(path, { method: "GET" });
  return { value: answer.body, age: Number(answer.headers.get("Gradewatch-Age") ?? 0) };
}

export async function order(path, body, token) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${bytes(token)}` };
  return (await send(path, { method: "POST", headers, body: JSON.stringify(body) })).body;
}

/** A header carries bytes: the text's UTF-8, one character for each. */
function bytes(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

async function send(path, how) {
  let answer;
  try {
    answer = await fetch(root + path, { ...how, cache: "no-store", signal: AbortSignal.timeout(DEADLINE) });
  } catch (error) {
    const slow = error.name === "TimeoutError";
    const message = slow ? "The watch took too long to answer." : "The watch cannot be reached from here.";
    throw new Refused(0, { code: "unreachable", message, fix: "Check the network, and whether it runs." });
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return { body, headers: answer.headers };
  const told = body.error ?? { code: "unknown", message: `The watch answered with status ${answer.status}.` };
  throw new Refused(answer.status, told);
}
