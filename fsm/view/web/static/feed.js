// What happens now: server-sent events, taken up again by the page itself when the server or the connection went away.

const SILENCE = 25000; // ms without a word after which a connection counts as lost
const LONGEST = 4000; // ms between two attempts

/** The events of one run. */
export class Feed {
  /**
   * @param {string} base the run's address
   * @param {() => {seq: number, born: string}} where what the page has
   * @param {Record<string, (value: any) => void>} on by event, and `connected` (boolean)
   */
  constructor(base, where, on) {
    this.base = base;
    this.where = where;
    this.on = on;
    this.wait = 250;
    this.closed = false;
    this.seen = () => this.visible();
    document.addEventListener("visibilitychange", this.seen);
    this.open();
  }

  open() {
    if (this.closed || document.hidden) return;
    const { seq, born } = this.where();
    const events = new EventSource(`${this.base}/events?${new URLSearchParams({ from: String(seq), born })}`);
    this.events = events;
    events.onopen = () => {
      this.wait = 250;
      this.on.connected(true);
      this.heard();
    };
    events.onerror = () => this.lost();
    for (const name of ["change", "live", "status", "anew", "leap", "breath"]) {
      events.addEventListener(name, (event) => {
        this.heard();
        this.on[name]?.(JSON.parse(event.data));
      });
    }
  }

  heard() {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => this.lost(), SILENCE);
  }

  /** A hidden page listens to nothing: a browser has six connections to a server, for all its pages. */
  visible() {
    if (document.hidden) {
      this.drop();
    } else if (!this.events) {
      this.open();
    }
  }

  drop() {
    clearTimeout(this.watchdog);
    clearTimeout(this.again);
    this.events?.close();
    this.events = null;
  }

  lost() {
    this.drop();
    if (this.closed) return;
    this.on.connected(false);
    this.again = setTimeout(() => this.open(), this.wait);
    this.wait = Math.min(2 * this.wait, LONGEST);
  }

  /** Connect again, to go on from what the page has now. */
  renew() {
    this.drop();
    this.open();
  }

  close() {
    this.closed = true;
    document.removeEventListener("visibilitychange", this.seen);
    this.drop();
  }
}
