// A run that a state of the shown run follows: its machines are tabs beside the others, its moments go with theirs.

import { el } from "./dom.js";
import { go, machineOf } from "./address.js";
import { Feed } from "./feed.js";
import { Moment, Past } from "./timeline.js";
import { Panels } from "./panels.js";
import { ServedRun } from "./source.js";
import { StatePanel } from "./state.js";

const AGAIN = 250; // ms until a run that is not there yet, or not read yet, is asked for again; doubles
const SELDOMEST = 8000; // and no longer than that

/** The run, as far as it was read. `header` is null until then. */
export class Followed {
  /** @param {string} name
   * @param {{news: () => void, choose: (path: null) => void, follows: (name: string | null) => void, panels: () => void}} page
   * @param {any} [source] */
  constructor(name, page, source = new ServedRun(name)) {
    this.name = name;
    this.page = page;
    this.source = source;
    this.header = null;
    this.status = null;
    this.until = null; // the moment shown, Unix time; null is now
    this.hasPanels = false;
    this.panels = new Panels(this.source);
    this.statePanel = new StatePanel(this.source, (seq) => this.open(seq), () => page.choose(null));
    this.start();
  }

  /** The name of the tab of a machine. @param {string} machine */
  key(machine) {
    return `${this.name}/${machine}`;
  }

  /** Its own page, at one of its records. @param {number} seq */
  open(seq) {
    const { machine, state } = this.statePanel.shows;
    go({ run: this.name, machine, state, seq, panel: null }, true);
    dispatchEvent(new HashChangeEvent("hashchange"));
  }

  async start() {
    clearTimeout(this.again);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const header = await this.source.header().catch(() => null);
    if (this.closed || turn !== this.turn) return;
    const read = header?.machine && (header.status.caught_up || header.status.state !== "running");
    const past = read ? new Past(this.source, header.index) : null;
    const tip = await past?.moment(past.last).catch(() => null);
    if (this.closed || turn !== this.turn) return;
    if (!past || !tip) {
      this.pause = Math.min(SELDOMEST, this.pause ? 2 * this.pause : AGAIN);
      this.again = setTimeout(() => this.start(), this.pause);
      return;
    }
    past.at = null; // the tip is kept apart
    Object.assign(this, { header, past, tip, shown: tip, born: header.born, status: header.status, times: [...header.index.times] });
    this.beyond = { stack: null, m: {} };
    this.feed ??= this.listen();
    this.seek(this.until);
    this.page.follows(this.status.watches);
    this.loadPanels();
  }

  listen() {
    return new Feed(this.source.base, () => ({ seq: this.past.last, born: this.born }), {
      connected: () => {}, // the page says it of the run that follows
      change: (changes) => this.changed(changes),
      live: (now) => {
        this.beyond = now;
        if (this.until === null) this.page.news();
      },
      status: (status) => {
        this.status = status;
        this.page.follows(status.watches);
        this.page.news();
      },
      anew: ({ born }) => (born !== this.born || this.past.last > 0) && this.restart(),
      behind: () => this.restart(),
    });
  }

  restart() {
    this.feed?.close();
    this.feed = null;
    this.start();
  }

  async changed(changes) {
    const fresh = changes.filter((c) => c.seq > this.tip.seq);
    if (fresh.length && fresh[0].seq !== this.tip.seq + 1) return this.restart();
    for (const change of fresh) {
      this.tip.apply(change);
      if (change.seq % this.past.every === 0) this.times.push(change.t);
    }
    this.beyond = { stack: null, m: {} };
    await this.past.append(fresh);
    if (this.until === null) this.page.news();
    if (fresh.some((c) => c.row.artifacts)) this.loadPanels();
    return undefined;
  }

  async loadPanels() {
    this.hasPanels = await this.panels.load();
    this.page.panels();
  }

  /** Show it as it was at a time; null is now. @param {number | null} until */
  async seek(until) {
    this.until = until;
    if (!this.header) return;
    if (until === null) {
      this.shown = this.tip;
    } else {
      const number = this.times.findLastIndex((t) => t <= until);
      const chunk = await this.past.chunk(number * this.past.every).catch(() => null);
      if (!chunk || this.until !== until) return;
      const moment = new Moment(chunk.key);
      if (number >= 0) for (const change of chunk.changes) if (change.t <= until) moment.apply(change);
      this.shown = moment;
    }
    this.page.news();
  }

  get stack() {
    return (this.until === null && this.beyond.stack) || this.shown.stack;
  }

  close() {
    this.closed = true;
    clearTimeout(this.again);
    this.feed?.close();
  }
}

/** What a tab is called: a machine of a followed run by an arrow, its run unseen. @param {string} tab */
export function tabWords(tab) {
  const machine = machineOf(tab);
  return machine === tab ? [` ${tab}`] : [el("span", { "aria-hidden": "true" }, " ↳"), ` ${machine}`, el("span", { class: "unseen" }, ` of run ${tab.split("/")[0]}`)];
}
