// Where a page has its run from: a server that is asked, or the file that it stands in itself.

import { Moment } from "./timeline.js";

/** What a server answered that is no result. */
export class Refusal extends Error {}

/** @param {string} path @returns {Promise<any>} */
export async function asked(path) {
  let response;
  try {
    response = await fetch(path);
  } catch {
    throw new Refusal("The server does not answer; the page asks it again.");
  }
  const said = await response.json().catch(() => null);
  if (!response.ok) throw new Refusal(said?.error ?? `The server answered ${response.status}.`);
  return said;
}

/** A run that a server follows. */
export class ServedRun {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    this.base = `/api/runs/${encodeURIComponent(name)}`;
    this.live = true;
  }

  header() {
    return asked(this.base);
  }

  /** @param {number} seq */
  chunk(seq) {
    return asked(`${this.base}/timeline?from=${seq}`);
  }

  /** @param {number} seq @returns {Promise<Moment>} */
  moment(seq) {
    return this.told({ at: seq });
  }

  /** As it was at a time. @param {number} time Unix time @returns {Promise<Moment>} */
  before(time) {
    return this.told({ until: time });
  }

  /** @param {Record<string, number>} which */
  async told(which) {
    const { key, rows } = await asked(`${this.base}/moment?${new URLSearchParams(which)}`);
    return new Moment(key, rows);
  }

  /** Another run of the same store. @param {string} name */
  other(name) {
    return new ServedRun(name);
  }

  /** @param {string} machine */
  picture(machine) {
    return asked(`${this.base}/picture/${encodeURIComponent(machine)}.svg`);
  }

  /** @param {string} machine @param {string} state @param {number} at */
  records(machine, state, at) {
    const query = new URLSearchParams({ machine, state, at: String(at) });
    return asked(`${this.base}/state?${query}`);
  }

  /** @param {number} seq */
  record(seq) {
    return asked(`${this.base}/records/${seq}`);
  }

  /** @param {string} state */
  log(state) {
    return asked(`${this.base}/log?${new URLSearchParams({ state })}`);
  }

  panels() {
    return asked(`${this.base}/panels`);
  }

  /** @param {string} panel @param {string} item */
  panel(panel, item) {
    return asked(`${this.base}/panels/${encodeURIComponent(panel)}/${encodeURIComponent(item)}`);
  }

  /** The address of an artifact. @param {string} sha @param {string} name @param {string} as */
  address(sha, name, as) {
    return `${this.base}/artifacts/${sha}?${new URLSearchParams({ name, as })}`;
  }

  /** The beginning of an artifact. @param {string} sha @param {string} name
   * @returns {Promise<{text: string, size: number, shown: number}>} */
  async artifact(sha, name) {
    let response;
    try {
      response = await fetch(this.address(sha, name, "part"));
    } catch {
      throw new Refusal("The server does not answer.");
    }
    if (!response.ok) throw new Refusal((await response.json().catch(() => null))?.error ?? `The server answered ${response.status}.`);
    const size = Number(response.headers.get("x-size"));
    return { text: await response.text(), size, shown: Number(response.headers.get("x-shown")) };
  }
}

/** A run that stands in the page's own file: its timeline and pictures, without artifacts. */
export class EmbeddedRun {
  /** @param {any} held {header, chunks, pictures} @param {any} [others] runs that it follows, by name */
  constructor(held, others = {}) {
    this.held = held;
    this.others = others;
    this.name = held.header.run;
    this.live = false;
  }

  async header() {
    return this.held.header;
  }

  /** @param {number} seq */
  async chunk(seq) {
    const chunk = this.held.chunks[Math.floor(Math.max(0, seq) / this.held.header.index.every)];
    if (!chunk) throw new Refusal(`The file has no record ${seq}.`);
    return chunk;
  }

  /** @param {number} seq @returns {Promise<Moment>} */
  async moment(seq) {
    const { key, rows, changes } = await this.chunk(seq);
    const found = new Moment(key, rows);
    for (const change of changes) if (change.seq <= seq) found.apply(change);
    return found;
  }

  /** @param {number} time @returns {Promise<Moment>} */
  async before(time) {
    const changes = this.held.chunks.flatMap((chunk) => chunk.changes);
    return this.moment(changes.findLast((change) => change.t <= time)?.seq ?? -1);
  }

  /** A run that this one follows, if it stands in the file too. @param {string} name */
  other(name) {
    return this.others[name] ? new EmbeddedRun(this.others[name], this.others) : null;
  }

  /** @param {string} machine */
  async picture(machine) {
    const found = this.held.pictures[machine];
    if (!found) throw new Refusal(`The file has no picture of ${machine}.`);
    return found;
  }

  /** @param {string} machine @param {string} state @param {number} at */
  async records(machine, state, at) {
    const own = [];
    const recovery = [];
    const failed = new Set(); // places from which a recovery was entered that is not over
    for (const chunk of this.held.chunks) {
      for (const { row } of chunk.changes) {
        if (row.seq > at) break;
        if (row.machine === machine && (row.from === state || row.from?.startsWith(`${state}.`))) {
          own.push(row);
          if (row.recovery) failed.add(row.place);
          else failed.delete(row.place);
        } else if ([...failed].some((place) => row.place?.startsWith(`${place} > `))) {
          recovery.push(row);
        }
      }
    }
    return { records: own.slice(-12), recovery: recovery.slice(-12) };
  }

  async record() {
    throw new Refusal("The data of a record are not in this file; fsm watch shows them.");
  }

  async log() {
    return { kept: false, lines: [] };
  }

  async panels() {
    return { panels: [] };
  }

  async artifact() {
    throw new Refusal("Artifacts are not in this file; fsm watch shows them.");
  }

  address() {
    return null;
  }
}
