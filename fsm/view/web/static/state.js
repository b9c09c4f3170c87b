// One state of a machine, as it was at a moment: what it read, what it made, how long it took, what went wrong.

import { badge, clock, duration, el, fill } from "./dom.js";
import { artifactView, jsonValue } from "./content.js";

/** The panel of a state. */
export class StatePanel {
  /** @param {any} source @param {(seq: number) => void} seek @param {() => void} close */
  constructor(source, seek, close) {
    this.source = source;
    this.seek = seek;
    this.head = el("div");
    this.records = el("div");
    this.open = el("div");
    this.element = el("div", { class: "state-panel" }, this.head, this.open, this.records);
    this.close = close;
    this.asked = "";
    this.fetched = 0;
  }

  /** @param {string} machine @param {string} path @param {any} view the state @param {number} seq the moment @param {any} level of the stack, where the run stands in it */
  show(machine, path, view, seq, level) {
    if (this.machine !== machine || this.path !== path) {
      fill(this.open);
      fill(this.records, el("p", { class: "quiet" }, "Loading…"));
      this.asked = "";
    }
    this.machine = machine;
    this.path = path;
    fill(this.head, el("header", {}, el("h2", {}, path), el("button", { type: "button", class: "close", "data-key": "close", "aria-label": "Close the state", onclick: this.close }, "✕")), el("p", {}, badge(view.look), ` in ${machine}`), facts(view, level), view.error && el("p", { class: "trouble" }, view.error));
    const wanted = `${machine}/${path}/${view.visits}/${view.errors}/${view.skipped}/${view.label}/${view.look === "failed" ? seq : ""}`; // a recovery goes on without it
    if (wanted !== this.asked || seq < this.upTo) {
      this.asked = wanted;
      this.upTo = seq;
      this.load(machine, path, seq);
    }
  }

  get shows() {
    return { machine: this.machine, state: this.path };
  }

  async load(machine, path, seq) {
    const number = ++this.fetched;
    let said;
    let log = { kept: false, lines: [] };
    try {
      [said, log] = await Promise.all([this.source.records(machine, path, seq), this.source.log(path)]);
    } catch (e) {
      if (number === this.fetched) fill(this.records, el("p", { class: "trouble", role: "alert" }, e.message));
      return;
    }
    if (number !== this.fetched) return;
    const own = said.records.map((row) => this.record(row)).reverse();
    const recovery = said.recovery.map((row) => this.record(row));
    fill(
      this.records,
      el("h3", {}, "Records"),
      own.length ? el("ol", { class: "records" }, ...own) : el("p", { class: "quiet" }, "No record of its own: it was not left yet, or it is counted in the record of the state that called its machine."),
      recovery.length ? el("h3", {}, "Recovery") : null,
      recovery.length ? el("ol", { class: "records recovery" }, ...recovery) : null,
      el("h3", {}, "Log"),
      log.lines.length ? el("ol", { class: "log" }, ...log.lines.map(logLine)) : el("p", { class: "quiet" }, log.kept ? "Nothing was said in it." : "Lines of the log are there while fsm run --watch serves the page; they are no part of a run."),
    );
  }

  record(row) {
    const item = el("li", { class: row.kind }, el("button", { type: "button", class: "seq", "data-key": `seq${row.seq}`, "aria-label": `Go to record ${row.seq}`, onclick: () => this.seek(row.seq) }, `#${row.seq}`), row.from === this.path ? " " : el("span", { class: "place" }, ` ${row.from}: `), what(row), " ", el("small", { class: "quiet" }, `${clock(row.time)}${row.visit > 1 ? `, visit ${row.visit}` : ""}${row.took === undefined ? "" : `, took ${duration(row.took)}`}`));
    const link = (name, sha) => el("button", { type: "button", class: "link", "data-key": `${row.seq}${name}`, onclick: () => this.artifact(name, sha) }, name);
    const files = (title, of) => {
      const entries = Object.entries(of ?? {});
      return entries.length ? el("details", { open: entries.length <= 6 }, el("summary", {}, `${title}: ${entries.length}`), el("ul", { class: "files" }, ...entries.map(([name, sha]) => el("li", {}, link(name, sha))))) : null;
    };
    for (const part of [files("Inputs", row.reads), files("Artifacts", row.artifacts), this.details(row), counts(row)]) if (part) item.append(part);
    return item;
  }

  /** The record's own data, or its traceback, fetched when it is opened. */
  details(row) {
    const box = el("div");
    const more = el("details", {}, el("summary", {}, row.kind === "error" ? "Traceback" : "Outputs and data"), box);
    more.addEventListener("toggle", async () => {
      if (!more.open || box.firstChild) return;
      try {
        const record = await this.source.record(row.seq);
        const data = record.kind === "transition" ? record.data?.set : record.kind === "once" ? { [record.key]: record.value } : record.kind === "verdict" ? record.patch : null;
        if (record.traceback) box.append(el("pre", { class: "text", tabindex: "0" }, record.traceback));
        else box.append(data && Object.keys(data).length ? jsonValue(data) : el("p", { class: "quiet" }, "It changed no data."));
      } catch (e) {
        box.append(el("p", { class: "trouble" }, e.message));
      }
    });
    return more;
  }

  artifact(name, sha) {
    const view = artifactView(this.source, name, sha, () => fill(this.open));
    fill(this.open, view);
    view.focus();
  }
}

function logLine(line) {
  const { time, level, event, place, ...words } = line;
  const more = Object.entries(words).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return el("li", { class: level }, el("small", { class: "quiet" }, `${clock(time)} ${level} `), event, more.length ? el("span", { class: "quiet" }, ` ${more.join(" ")}`) : null);
}

function facts(view, level) {
  const rows = [
    ["visits", view.visits],
    ["time in it", view.seconds && duration(view.seconds)],
    ["last visit", view.last && duration(view.last)],
    ["left by", view.label],
    ["errors", view.errors],
    ["skipped items", view.skipped],
    ["inside", view.inside && `${view.seen ?? 0} of ${view.inside} states visited`],
    ["progress", level?.progress && `${level.progress.done}${level.progress.total ? ` of ${level.progress.total}` : ""} ${level.progress.note}`],
    ["since", level && clock(level.since)],
  ].filter(([, value]) => value);
  return rows.length ? el("dl", { class: "facts" }, ...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))) : el("p", { class: "quiet" }, "Not visited.");
}

function counts(row) {
  const entries = Object.entries(row.counts ?? {});
  if (!entries.length) return null;
  return el("details", {}, el("summary", {}, `Edges counted below: ${entries.length}`), el("ul", { class: "files" }, ...entries.map(([edge, n]) => el("li", {}, `${n}× ${edge}`))));
}

/** A record in words. @param {any} row */
export function what(row) {
  if (row.kind === "claim") return `taken up by process ${row.pid} on ${row.host}`;
  if (row.kind === "fork") return `forked from ${row.run} at record ${row.at}`;
  if (row.kind === "accept") return `goes on under other drawings: ${Object.keys(row.diagrams).join(", ")}`;
  if (row.kind === "once") return `once ${row.key}`;
  if (row.kind === "error") return `${row.error}: ${row.message}${row.recovery ? `; enters ${row.recovery}` : ""}${row.retry ? `; again in ${row.retry.seconds} s` : ""}`;
  if (row.kind === "verdict") return `${row.verdict}, after ${row.last}`;
  if (row.kind === "wait") return `waits until ${new Date(row.until * 1000).toISOString()}`;
  if (row.kind === "waited") return "has waited";
  if (row.kind === "ask") return `asks: ${row.question}`;
  if (row.kind === "answer") return `answered ${row.label} by ${row.by ?? "nobody in time"}${row.note ? `: ${row.note}` : ""}`;
  if (row.kind === "cancel") return `cancelled by ${row.end.by ?? "request"}${row.end.why ? `: ${row.end.why}` : ""}`;
  if (row.kind === "split") return `at once: ${row.branches ? Object.keys(row.branches).join(", ") : `${row.items} items through ${row.calls}`}`;
  if (row.kind === "join" && row.key !== undefined) return "all items have ended";
  const to = (row.to ?? []).join(", ") || "[*]";
  if (row.kind === "join") return `all branches have joined → ${to}`;
  return row.label ? `${row.label} → ${to}` : `→ ${to}`;
}
