// Elements, and words for times. Everything that comes from a run goes in as text: there is no HTML in here.

const SVG_NS = "http://www.w3.org/2000/svg";

/**
 * An element. `given` are attributes; those that begin with `on` are listeners, null and false ones are left out.
 * @param {string} tag
 * @param {Record<string, any>} [given]
 * @param {...(Node | string | number | null | undefined | false)} children
 * @returns {any}
 */
export function el(tag, given = {}, ...children) {
  return filled(document.createElement(tag), given, children);
}

/** The same of SVG.
 * @param {string} tag
 * @param {Record<string, any>} [given]
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function svgEl(tag, given = {}, ...children) {
  return filled(document.createElementNS(SVG_NS, tag), given, children);
}

function filled(element, given, children) {
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Put children in the place of those that are there; what has the focus keeps it, by its `data-key`.
 * @param {Element} element
 * @param {...any} children
 */
export function fill(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement.getAttribute("data-key") : null;
  element.replaceChildren(...children.filter((c) => c !== null && c !== undefined && c !== false));
  if (focused) element.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

/** Seconds in words, as the command line has them.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 0.0995) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  if (seconds < 7170) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172000) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

const TIME = new Intl.DateTimeFormat([], { hour: "numeric", minute: "2-digit", second: "2-digit", hour12: false }); // made once: it is dear

/** A Unix time or an ISO moment as a local time of day, with the date where it is not today's.
 * @param {number | string} moment
 */
export function clock(moment) {
  const at = new Date(typeof moment === "number" ? moment * 1000 : moment);
  const today = new Date().toDateString() === at.toDateString();
  const time = TIME.format(at);
  return today ? time : `${at.toLocaleDateString()} ${time}`;
}

/** @param {number} bytes */
export function bytesInWords(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  for (const unit of ["kB", "MB", "GB"]) {
    bytes /= 1000;
    if (bytes < 1000 || unit === "GB") return `${bytes.toFixed(bytes < 10 ? 1 : 0)} ${unit}`;
  }
  return "";
}

/** Looks of a state and ways that a run stands: a sign and a word, so that nothing is said by colour alone. */
export const SIGNS = {
  active: "●",
  visited: "✓",
  failed: "✕",
  never: "○",
  running: "●",
  done: "✓",
  stopped: "‖",
  waiting: "◷",
  cancelled: "⊘",
  beginning: "…",
  absent: "?",
  "newer format": "!",
  unreadable: "!",
};

/** @param {string} look */
export function badge(look) {
  return el("span", { class: `badge ${look.replace(" ", "-")}` }, el("span", { "aria-hidden": "true" }, SIGNS[look] ?? "?"), ` ${look}`);
}

/** @param {string} text @param {number} most */
export function cut(text, most) {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

/** Arrow keys in a row of tabs. */
export function tabKey(event, row) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const tabs = [...row.children];
  const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
  event.preventDefault();
  next.focus();
  next.click();
}
