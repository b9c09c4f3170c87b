// What an artifact holds, to be looked at: text, rows, C, a picture. A model may have written it: all of it is text.

import { bytesInWords, el, fill } from "./dom.js";

const ROWS = 50;
const C_FILES = /\.(c|h|cc|cpp|hpp)$/i;
const PICTURE_FILES = /\.(svg|png|jpe?g|gif)$/i;
const TOKENS = /(\/\*[\s\S]*?(?:\*\/|$)|\/\/[^\n]*)|("(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)|(^[ \t]*#[^\n]*)|\b(0[xX][0-9a-fA-F]+|\d+\.?\d*(?:[eE][+-]?\d+)?)[uUlLfF]*\b|\b([A-Za-z_]\w*)\b/gm;
const KEYWORDS = new Set(
  ("auto break case char const continue default do double else enum extern float for goto if inline int long register " +
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while _Bool bool").split(" "),
);
const TYPES = /^(u?int(8|16|32|64|max|ptr)?_t|s?size_t|[A-Za-z]\w*_t)$/;

/** C, coloured. @param {string} text */
export function cCode(text) {
  const pre = el("pre", { class: "code", tabindex: "0" });
  let done = 0;
  for (const found of text.matchAll(TOKENS)) {
    const [word, comment, string, directive, number, name] = found;
    const kind = comment ? "comment" : string ? "string" : directive ? "directive" : number ? "number" : KEYWORDS.has(name) ? "keyword" : TYPES.test(name) ? "type" : null;
    if (!kind) continue;
    pre.append(text.slice(done, found.index), el("span", { class: `c-${kind}` }, word));
    done = found.index + word.length;
  }
  pre.append(text.slice(done));
  return pre;
}

/** Text, with its blocks of C coloured where it has any. @param {string} text */
export function prose(text) {
  const parts = text.split(/^```(\w*)[ \t]*\n([\s\S]*?)^```[ \t]*$/m);
  if (parts.length === 1) return looksLikeC(text) ? cCode(text) : el("pre", { class: "text", tabindex: "0" }, text);
  const box = el("div", { class: "prose" });
  for (let i = 0; i < parts.length; i += 3) {
    if (parts[i].trim()) box.append(el("pre", { class: "text" }, parts[i].trim()));
    if (i + 2 < parts.length) box.append(cCode(parts[i + 2]));
  }
  return box;
}

function looksLikeC(text) {
  return /^\s*#include\b/m.test(text) || (text.match(/[;{}]\s*$/gm) ?? []).length > 2;
}

/** A JSON value as a list of its parts; long texts in it are shown as they are. @param {any} value */
export function jsonValue(value) {
  if (typeof value === "string") return value.includes("\n") ? prose(value) : el("span", { class: "string" }, value);
  if (value === null || typeof value !== "object") return el("span", { class: "number" }, String(value));
  const entries = Object.entries(value);
  if (!entries.length) return el("span", {}, Array.isArray(value) ? "[]" : "{}");
  if (Array.isArray(value) && value.every((v) => typeof v === "number")) return el("span", { class: "number" }, value.slice(0, 40).join(", ") + (value.length > 40 ? ", …" : ""));
  const list = el("dl", { class: "json" });
  for (const [key, inner] of entries.slice(0, 200)) list.append(el("div", {}, el("dt", {}, key), el("dd", {}, jsonValue(inner))));
  return list;
}

/** JSON Lines as rows, a page of them at a time. @param {string} text */
function jsonRows(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  const box = el("div", { class: "rows" });
  let shown = 0;
  const more = el("button", { type: "button", onclick: () => add() });
  const add = () => {
    for (const line of lines.slice(shown, shown + ROWS)) {
      let value;
      try {
        value = jsonValue(JSON.parse(line));
      } catch {
        value = el("pre", { class: "text" }, line); // the last line of a part may be cut
      }
      more.before(el("details", { open: shown < 3 }, el("summary", {}, `Row ${++shown}: `, el("span", { class: "quiet" }, line.slice(0, 90))), value));
    }
    more.hidden = shown >= lines.length;
    more.textContent = `${lines.length - shown} more rows`;
  };
  box.append(more);
  add();
  return box;
}

/** An artifact of a run, fetched and shown.
 * @param {any} source @param {string} name @param {string} sha @param {() => void} close */
export function artifactView(source, name, sha, close) {
  const body = el("div", { class: "artifact-body" }, el("p", { class: "quiet" }, "Loading…"));
  const keep = source.address(sha, name, "file");
  const box = el(
    "section",
    { class: "artifact", "aria-label": `Artifact ${name}`, tabindex: "-1" },
    el("header", {}, el("h3", {}, name), keep && el("a", { href: keep, download: "" }, "Save"), el("button", { type: "button", class: "close", "aria-label": "Close the artifact", onclick: close }, "✕")),
    body,
  );
  load(source, name, sha, body).catch((e) => fill(body, el("p", { class: "trouble", role: "alert" }, e.message)));
  return box;
}

async function load(source, name, sha, body) {
  const notes = [];
  if (PICTURE_FILES.test(name) && source.live) {
    const picture = el("img", { src: source.address(sha, name, "picture"), alt: `The picture ${name}`, class: "artifact-picture" });
    picture.addEventListener("error", () => picture.replaceWith(el("p", { class: "trouble", role: "alert" }, "It is gone, or no picture that can be shown here; Save gives it as it is.")));
    notes.push(picture);
    if (!/svg$/i.test(name)) return fill(body, ...notes);
  }
  const { text, size, shown } = await source.artifact(sha, name);
  if (shown < size) notes.push(el("p", { class: "quiet" }, `The first ${bytesInWords(shown)} of ${bytesInWords(size)}; Save gives all of it.`));
  if (text.slice(0, 4096).includes("\u0000")) notes.push(el("p", {}, `It is not text (${bytesInWords(size)}).`));
  else if (/\.jsonl$/i.test(name)) notes.push(jsonRows(text));
  else if (/\.json$/i.test(name)) notes.push(json(text));
  else if (C_FILES.test(name)) notes.push(cCode(text));
  else notes.push(prose(text));
  fill(body, ...notes);
}

function json(text) {
  try {
    return jsonValue(JSON.parse(text));
  } catch {
    return el("pre", { class: "text", tabindex: "0" }, text);
  }
}
