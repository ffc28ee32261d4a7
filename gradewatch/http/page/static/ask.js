// One dialog for every order: what will be done, what it needs to know, the token where none is kept yet.

import { Refused } from "./api.js";
import { h } from "./dom.js";
import { visible } from "./format.js";
import { token } from "./token.js";

const dialog = document.getElementById("ask");

/**
 * Ask, then `carryOut(values, token)` until it succeeds or the person gives up. A refusal is shown in the dialog, so that
 * nothing typed is lost. `opener` gets the focus back: the element that held it may have been replaced meanwhile.
 */
export function ask({ title, text, fields = [], confirm, carryOut }) {
  const opener = document.activeElement?.id || document.activeElement?.dataset?.action ? document.activeElement : null;
  const problem = h("p", { class: "problem", role: "alert", id: "ask-problem" });
  const go = h("button", { type: "submit", class: "primary" }, confirm);
  const stop = h("button", { type: "button" }, "Cancel");
  const form = h(
    "form",
    {},
    h("h2", { id: "ask-title" }, title),
    h("p", {}, text),
    fields,
    token.get() ? null : tokenField(),
    problem,
    h("div", { class: "buttons" }, go, stop),
  );
  stop.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await attempt(form, go, problem, carryOut);
  });
  dialog.replaceChildren(form);
  dialog.addEventListener("close", () => opener?.isConnected && opener.focus(), { once: true });
  dialog.showModal();
}

async function attempt(form, go, problem, carryOut) {
  const values = Object.fromEntries(new FormData(form));
  const given = token.get() || values.token?.trim() || "";
  go.disabled = true;
  try {
    await carryOut(values, given);
    token.keep(given);
    dialog.close();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refuse(form, problem, error);
  } finally {
    go.disabled = false;
  }
}

function refuse(form, problem, error) {
  const wrongToken = error.status === 401;
  const said = wrongToken ? "This token is not the one the watch was given. Nothing was changed." : `${error.message}`;
  const fix = wrongToken ? "Enter the value of http.token from the watch's settings." : error.fix;
  problem.textContent = visible(fix ? `${said} ${sentence(fix)}` : said);
  if (!wrongToken) return;
  token.forget();
  if (!form.elements.token) problem.before(tokenField());
  form.elements.token.setAttribute("aria-invalid", "true");
  form.elements.token.setAttribute("aria-describedby", "ask-problem");
  form.elements.token.select();
  form.elements.token.focus();
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function tokenField() {
  return field("token", "Token", { type: "password", required: true, autocomplete: "off", spellcheck: "false" },
    "The value of http.token. It is kept in this tab only, until the tab is closed.");
}

export function field(id, label, props, hint) {
  return h(
    "p",
    { class: "field" },
    h("label", { for: `ask-${id}` }, label),
    h("input", { id: `ask-${id}`, name: id, ...props }),
    hint ? h("span", { class: "hint" }, hint) : null,
  );
}

export function choice(id, label, options) {
  const made = options.map(([value, text]) => h("option", { value }, text));
  return h(
    "p",
    { class: "field" },
    h("label", { for: `ask-${id}` }, label),
    h("select", { id: `ask-${id}`, name: id }, made),
  );
}
