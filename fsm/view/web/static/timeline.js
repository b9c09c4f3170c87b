// A run at any record: the keyframe before it, and what the records since have changed. To apply a change is plain assignment.

/**
 * @typedef {{look: string, active?: boolean, visits?: number, seconds?: number, last?: number, errors?: number,
 *   skipped?: number, label?: string, error?: string, seen?: number, inside?: number}} State
 * @typedef {{machine: string, at: string[], place: string[], state: string, visit: number, since: number,
 *   overview?: string[], progress?: {done: number, total: number, note: string}}} Level
 * @typedef {{seq: number, t: number, row: any, m?: Record<string, {s?: Record<string, State>, e?: Record<string, number>}>,
 *   stack?: Level[], facts?: Record<string, any>}} Change
 */

const NEWEST = 12; // of the newest records, told with a moment
const SOON = 150; // ms after which the records around a moment are loaded, for it to be walked on from there

/** What the page shows of one moment. */
export class Moment {
  /** @param {any} key a keyframe @param {any[]} rows the last rows up to it */
  constructor(key, rows) {
    this.seq = key.seq;
    this.t = key.t;
    /** @type {Record<string, {s: Record<string, State>, e: Record<string, number>}>} */
    this.m = {};
    for (const [name, of] of Object.entries(key.m)) this.m[name] = { s: { ...of.s }, e: { ...of.e } };
    /** @type {Level[]} */
    this.stack = key.stack;
    this.facts = { ...key.facts };
    this.rows = [...rows];
  }

  /** The record that led here; undefined before the first. */
  get row() {
    return this.rows.at(-1);
  }

  /** @param {Change} change */
  apply(change) {
    this.seq = change.seq;
    this.t = change.t;
    this.rows.push(change.row);
    if (this.rows.length > NEWEST) this.rows.shift();
    for (const [name, of] of Object.entries(change.m ?? {})) {
      const own = (this.m[name] ??= { s: {}, e: {} });
      Object.assign(own.s, of.s);
      Object.assign(own.e, of.e);
    }
    if (change.stack) this.stack = change.stack;
    if (change.facts) Object.assign(this.facts, change.facts);
  }

  /** @param {string} machine @param {string} path @returns {State} */
  state(machine, path) {
    return this.m[machine]?.s[path] ?? { look: "never" };
  }
}

/** The records of a run, of which the page has those parts that it has walked in. */
export class Past {
  /** @param {any} source @param {{records: number, every: number, marks: [number, string][]}} index */
  constructor(source, index) {
    this.source = source;
    this.every = index.every;
    this.records = index.records;
    this.marks = index.marks;
    /** @type {Map<number, {key: any, rows: any[], changes: Change[]}>} */
    this.chunks = new Map();
    /** @type {Moment | null} */
    this.at = null; // the moment asked for last, for the next one is often the one after it
  }

  get last() {
    return this.records - 1;
  }

  /** The chunk that a record is in, where the page has it as far as that. @param {number} seq */
  held(seq) {
    const chunk = this.chunks.get(this.number(seq));
    return chunk && seq <= chunk.key.seq + chunk.changes.length ? chunk : null;
  }

  /** @param {number} seq */
  number(seq) {
    return Math.floor(Math.max(0, seq) / this.every);
  }

  /** The run as it was after record `seq`; -1: before the first. @param {number} seq @returns {Promise<Moment>} */
  async moment(seq) {
    const chunk = this.held(seq);
    if (!chunk) {
      this.loadSoon(seq);
      return this.source.moment(seq);
    }
    const near = this.at && this.at.seq <= seq && this.at.seq >= chunk.key.seq ? this.at : new Moment(chunk.key, chunk.rows);
    for (let i = near.seq - chunk.key.seq; i < chunk.changes.length && chunk.changes[i].seq <= seq; i++) near.apply(chunk.changes[i]);
    this.at = near;
    return near;
  }

  /** Have the records around a moment, if it is stayed at. @param {number} seq */
  loadSoon(seq) {
    clearTimeout(this.soon);
    this.soon = setTimeout(async () => {
      const chunk = await this.source.chunk(seq).catch(() => null); // without it each step asks
      if (chunk) this.chunks.set(this.number(seq), chunk);
    }, SOON);
  }

  /** What has happened meanwhile. @param {Change[]} changes */
  append(changes) {
    for (const change of changes) {
      const held = this.chunks.get(this.number(change.seq));
      if (held && change.seq === held.key.seq + held.changes.length + 1) held.changes.push(change);
      this.records = Math.max(this.records, change.seq + 1);
      if (change.row.kind === "error" || change.row.kind === "claim") this.marks.push([change.seq, change.row.kind]);
    }
  }

  /** So much has happened that the records in between were not told. @param {number} seq the newest @param {[number, string][]} marks */
  leap(seq, marks) {
    this.records = seq + 1;
    this.marks.push(...marks);
  }

  close() {
    clearTimeout(this.soon);
  }
}
