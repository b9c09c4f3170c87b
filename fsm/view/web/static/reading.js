// A run as a page has read it: its newest record, the moment that is shown, and what happens now.

import { Feed } from "./feed.js";
import { Moment, Past } from "./timeline.js";
import { Panels } from "./panels.js";
import { StatePanel } from "./state.js";

const AGAIN = 250; // ms until a run that is not there yet, or not read yet, is asked for again; doubles
const READING = 50; // ms until one that is being read is
const UNREAD = ["absent", "unreadable", "newer format"]; // what there is of such a run is shown

/**
 * @typedef {object} Reader who is told of it
 * @property {(words: string) => void} waits why it is not there yet
 * @property {() => void} begun it was read from its beginning, or anew
 * @property {(records: boolean) => void} news something happened: records, or only what the runner said
 * @property {(status: any) => void} stands how it stands
 * @property {(on: boolean) => void} connected
 * @property {() => void} panels they were loaded
 * @property {(seq: number) => void} seek one of its records was chosen
 * @property {() => void} unchoose
 */

/** One run. `header` is null until it was read. */
export class Reading {
  /** @param {any} source @param {Reader} reader @param {number} seldomest ms between two questions for a run that is not there */
  constructor(source, reader, seldomest) {
    this.source = source;
    this.name = source.name;
    this.reader = reader;
    this.seldomest = seldomest;
    this.header = null;
    this.status = null;
    this.until = null; // of the moment shown, as it was asked for; null is now
    this.beyond = { stack: null, m: {} };
    this.hasPanels = false;
    this.panels = new Panels(source);
    this.statePanel = new StatePanel(source, (seq) => reader.seek(seq), () => reader.unchoose());
  }

  async start() {
    clearTimeout(this.again);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const gone = () => this.closed || turn !== this.turn;
    try {
      const header = await this.source.header();
      if (gone()) return;
      this.status = header.status;
      const { caught_up: whole, state, records } = header.status;
      const read = header.machine && (whole || UNREAD.includes(state));
      if (!read) return this.later(header.machine ? `Reading the journal: ${records} records so far.` : "", header.machine ? READING : undefined);
      const past = new Past(this.source, header.index);
      const tip = await this.source.moment(past.last);
      if (gone()) return;
      this.past?.close();
      Object.assign(this, { header, past, tip, shown: tip, born: header.born, beyond: { stack: null, m: {} } });
    } catch (e) {
      if (!gone()) this.later(e.message);
      return;
    }
    this.pause = AGAIN;
    this.reader.begun();
    if (this.source.live) this.feed ??= this.listen();
    this.loadPanels();
  }

  /** @param {string} words @param {number} [pause] */
  later(words, pause) {
    if (this.closed || !this.source.live) return;
    this.reader.waits(words);
    this.pause = Math.min(this.seldomest, 2 * (this.pause ?? AGAIN / 2));
    this.again = setTimeout(() => this.start(), pause ?? this.pause);
  }

  listen() {
    return new Feed(this.source.base, () => ({ seq: this.tip.seq, born: this.born }), {
      connected: (on) => this.reader.connected(on),
      change: (changes) => this.changed(changes),
      leap: ({ moment, marks }) => this.leapt(moment, marks),
      live: (now) => {
        this.beyond = now;
        this.reader.news(false);
      },
      status: (status) => {
        this.status = status;
        this.reader.stands(status);
      },
      anew: ({ born }) => (born !== this.born || this.tip.seq > 0) && this.restart(born),
    });
  }

  /** The run was begun anew, or the page has lost its thread. @param {string} born */
  restart(born) {
    if (born !== this.born) this.until = null;
    this.feed?.close();
    this.feed = null;
    this.start();
  }

  /** @param {any[]} changes */
  changed(changes) {
    const fresh = changes.filter((c) => c.seq > this.tip.seq);
    if (fresh.length && fresh[0].seq !== this.tip.seq + 1) return this.restart(this.born);
    for (const change of fresh) this.tip.apply(change);
    this.past.append(fresh);
    this.heard(fresh.some((c) => c.row.artifacts));
    return undefined;
  }

  /** @param {{key: any, rows: any[]}} moment @param {[number, string][]} marks */
  leapt({ key, rows }, marks) {
    const { artifacts } = this.tip.facts;
    this.tip = new Moment(key, rows);
    this.past.leap(key.seq, marks);
    this.heard(artifacts !== key.facts.artifacts);
  }

  heard(artifacts) {
    this.beyond = { stack: null, m: {} };
    if (this.until === null) this.shown = this.tip;
    this.reader.news(true);
    if (artifacts) this.loadPanels();
  }

  /** Once at a time: while they are loaded, they may be asked for again. */
  async loadPanels() {
    this.stale = true;
    if (this.loading) return;
    this.loading = true;
    while (this.stale && !this.closed) {
      this.stale = false;
      this.hasPanels = await this.panels.load();
      this.reader.panels();
    }
    this.loading = false;
  }

  /** Show it after a record; null is now. @param {number | null} seq @returns {Promise<boolean>} whether that is still wanted */
  seek(seq) {
    return this.show(seq, () => this.past.moment(seq));
  }

  /** Show it as it was at a time. @param {number | null} time Unix time */
  seekTime(time) {
    return this.show(time, () => this.source.before(time));
  }

  async show(until, find) {
    this.until = until;
    if (!this.header) return false;
    const found = until === null ? this.tip : await find();
    if (this.until !== until) return false;
    this.shown = found;
    return true;
  }

  get stack() {
    return (this.until === null && this.beyond.stack) || this.shown.stack;
  }

  close() {
    this.closed = true;
    clearTimeout(this.again);
    this.past?.close();
    this.feed?.close();
  }
}
