// The runs of a store, a line each.

import { badge, duration, el, fill } from "./dom.js";
import { asked } from "./source.js";

const EVERY = 2000; // ms

/** The list. */
export class RunList {
  /** @param {HTMLElement} main @param {HTMLElement} trail */
  constructor(main, trail) {
    this.name = null;
    document.title = "Runs";
    fill(trail, el("span", { "aria-current": "page" }, "Runs"));
    this.said = el("p", { class: "quiet" }, "Loading…");
    this.trouble = el("p", { class: "trouble", role: "alert", hidden: true });
    this.body = el("tbody");
    const head = ["Run", "Machine", "State", "Where", "Progress", "Records", "Last record"];
    this.table = el("table", { class: "runs" }, el("caption", { class: "unseen" }, "The runs of this store"), el("thead", {}, el("tr", {}, ...head.map((h) => el("th", { scope: "col" }, h)))), this.body);
    fill(main, el("div", { class: "list" }, el("h1", {}, "Runs"), this.said, this.trouble, el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Runs" }, this.table)));
    this.load();
  }

  async load() {
    try {
      const { url, runs, error } = await asked("/api/runs");
      this.trouble.hidden = !error;
      this.trouble.textContent = error ?? "";
      if (!error || !this.body.children.length) {
        this.said.textContent = runs.length ? `${runs.length} at ${url}` : `No runs at ${url} yet. fsm run CONFIG begins one, and it is shown here.`;
        fill(this.body, ...runs.map((row) => this.row(row)));
      }
    } catch (e) {
      this.trouble.hidden = false;
      this.trouble.textContent = e.message;
    }
    if (!this.closed) this.again = setTimeout(() => this.load(), EVERY);
  }

  row(row) {
    const link = el("a", { href: `#run=${encodeURIComponent(row.run)}`, "data-key": row.run }, row.run);
    if (row.problem) return el("tr", {}, el("th", { scope: "row" }, link), el("td"), el("td", {}, badge("unreadable")), el("td", { colspan: "4" }, row.problem));
    const where = row.place + (row.label ? ` (${row.label})` : "");
    const age = row.age === null ? "never begun" : `${duration(row.age)} ago`;
    return el("tr", {}, el("th", { scope: "row" }, link), el("td", {}, row.machine), el("td", {}, badge(row.status)), el("td", {}, where), el("td", {}, progress(row)), el("td", { class: "n" }, row.records), el("td", {}, age));
  }

  close() {
    this.closed = true;
    clearTimeout(this.again);
  }
}

/** How many of the outermost states were left. */
function progress(row) {
  if (!row.progress) return "";
  const [done, total] = row.progress;
  return el("span", { class: "meter" }, el("progress", { max: total, value: done, "aria-label": `${done} of ${total} states` }), ` ${done}/${total}`);
}
