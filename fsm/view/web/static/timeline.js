// A run at any record: the keyframe before it, and what the records since have changed. To apply a change is plain assignment.

/**
 * @typedef {{look: string, active?: boolean, visits?: number, seconds?: number, last?: number, errors?: number,
 *   skipped?: number, label?: string, error?: string, seen?: number, inside?: number}} State
 * @typedef {{machine: string, at: string[], place: string[], state: string, visit: number, since: number,
 *   overview?: string[], progress?: {done: number, total: number, note: string}}} Level
 * @typedef {{seq: number, t: number, row: any, m?: Record<string, {s?: Record<string, State>, e?: Record<string, number>}>,
 *   stack?: Level[], facts?: Record<string, any>}} Change
 */

/** What the page shows of one moment. */
export class Moment {
  /** @param {any} key a keyframe */
  constructor(key) {
    this.seq = key.seq;
    this.t = key.t;
    /** @type {Record<string, {s: Record<string, State>, e: Record<string, number>}>} */
    this.m = {};
    for (const [name, of] of Object.entries(key.m)) this.m[name] = { s: { ...of.s }, e: { ...of.e } };
    /** @type {Level[]} */
    this.stack = key.stack;
    this.facts = { ...key.facts };
    this.row = null;
  }

  /** @param {Change} change */
  apply(change) {
    this.seq = change.seq;
    this.t = change.t;
    this.row = change.row;
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

/** The records of a run as far as they were loaded, a chunk at a time. */
export class Past {
  /** @param {any} source @param {{records: number, every: number, marks: [number, string][]}} index */
  constructor(source, index) {
    this.source = source;
    this.every = index.every;
    this.records = index.records;
    this.marks = index.marks;
    /** @type {Map<number, Promise<{key: any, changes: Change[]}>>} */
    this.chunks = new Map();
    /** @type {Moment | null} */
    this.at = null; // the moment asked for last, for the next one is often the one after it
  }

  get last() {
    return this.records - 1;
  }

  /** @param {number} seq */
  chunk(seq) {
    const number = Math.floor(Math.max(0, seq) / this.every);
    let found = this.chunks.get(number);
    if (!found) {
      found = this.source.chunk(number * this.every);
      this.chunks.set(number, found);
      found.catch(() => this.chunks.delete(number));
    }
    return found;
  }

  /** The run as it was after record `seq`; -1: before the first. @param {number} seq @returns {Promise<Moment>} */
  async moment(seq) {
    const chunk = await this.chunk(seq);
    const near = this.at && this.at.seq <= seq && this.at.seq >= chunk.key.seq ? this.at : new Moment(chunk.key);
    const from = near.seq - chunk.key.seq;
    for (let i = from; i < chunk.changes.length && chunk.changes[i].seq <= seq; i++) near.apply(chunk.changes[i]);
    this.at = near;
    return near;
  }

  /** What has happened meanwhile. @param {Change[]} changes @returns {Promise<boolean>} whether it follows on what is here */
  async append(changes) {
    for (const change of changes) {
      if (change.seq < this.records) continue;
      if (change.seq > this.records) return false;
      const number = Math.floor(change.seq / this.every);
      const held = this.chunks.get(number);
      if (held) (await held).changes.push(change);
      this.records = change.seq + 1;
      if (change.row.kind === "error" || change.row.kind === "claim") this.marks.push([change.seq, change.row.kind]);
    }
    return true;
  }

  /** Rows of the history, oldest first. @param {number} until @param {number} most */
  async rows(until, most) {
    const chunk = await this.chunk(until);
    let rows = chunk.changes.filter((c) => c.seq <= until).map((c) => c.row);
    if (rows.length < most && chunk.key.seq >= 0) {
      rows = [...(await this.chunk(chunk.key.seq)).changes.map((c) => c.row), ...rows];
    }
    return rows.slice(-most);
  }
}
