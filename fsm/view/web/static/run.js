// One run: its machines as tabs, the picture of one, the journal below it, and what is to be said beside it.

import { SIGNS, badge, clock, el, fill, tabKey } from "./dom.js";
import { go, goSoon, machineOf, spot } from "./address.js";
import { Picture, legend } from "./picture.js";
import { Reading } from "./reading.js";
import { Slider } from "./slider.js";
import { now } from "./now.js";

const AWAITED = 400; // ms between two questions for the page's own run while it is not there
const BELOW = 8000; // and for a run that it follows
const SETTLE = 300; // ms a machine is at work before the page turns to it

/** The page of a run. */
export class RunPage {
  /** @param {HTMLElement} main @param {HTMLElement} trail @param {any} source */
  constructor(main, trail, source) {
    this.main = main;
    this.source = source;
    this.name = source.live ? source.name : (spot().run ?? null);
    document.title = source.name;
    this.badge = el("span", { role: "status" });
    this.where = el("span", { class: "where" });
    this.line = el("span", { class: "line", role: "status" });
    fill(trail, source.live && el("a", { href: "#" }, "Runs"), el("h1", { class: "run-name" }, source.name), this.badge, this.where, this.line);
    this.notice = el("div", { class: "notice", role: "alert", hidden: true });
    this.tabs = el("div", { class: "tabs", role: "tablist", "aria-label": "Machines" });
    this.stage = el("div", { class: "stage", role: "tabpanel", id: "stage", "aria-label": "Diagram" });
    this.slider = new Slider((seq) => this.seek(seq));
    this.side = el("div", { class: "side-body", role: "tabpanel", id: "side", tabindex: "0" });
    this.sideTabs = el("div", { class: "tabs side-tabs", role: "tablist", "aria-label": "Beside the diagram" });
    this.nowPanel = el("div", { class: "now-panel" });
    this.pictures = new Map();
    this.follow = true;
    this.own = new Reading(source, this.reader(), AWAITED);
    /** @type {Map<string, Reading>} */
    this.followed = new Map(); // runs that states of this one follow, and states of those
    fill(main, this.notice, el("div", { class: "run" }, el("div", { class: "left" }, this.tabs, this.tools(), this.stage, this.slider.element), el("aside", { class: "side", "aria-label": "Details" }, this.sideTabs, this.side)));
    this.own.start();
  }

  tools() {
    const act = (label, sign, does) => el("button", { type: "button", "aria-label": label, title: label, onclick: () => this.picture && does(this.picture) }, sign);
    this.followButton = el("button", { type: "button", class: "follow", onclick: () => this.following(!this.follow) }, "Follow");
    this.foldButton = el("button", { type: "button", onclick: () => this.foldAll() }, "Fold");
    return el("div", { class: "tools" }, legend(), el("span", { class: "buttons" }, this.foldButton, this.followButton, act("Smaller", "−", (p) => p.canvas.zoom(0.8, undefined, undefined, true)), act("Larger", "+", (p) => p.canvas.zoom(1.25, undefined, undefined, true)), act("The whole diagram", "Fit", (p) => (p.canvas.fit(), this.following(false)))));
  }

  // What is read

  /** The page, told of its own run. */
  reader() {
    return {
      waits: (words) => (words ? this.tell(words) : this.showStatus()),
      begun: () => this.begun(),
      news: (records) => {
        this.renderSoon();
        if (records && this.seq === null) this.beside();
      },
      stands: () => this.showStatus(),
      connected: (on) => {
        this.line.textContent = on ? "" : "No connection; it is tried again";
      },
      panels: () => this.beside(),
      seek: (seq) => this.seek(seq),
      unchoose: () => this.choose(null),
    };
  }

  begun() {
    const { born, past } = this.own;
    if (this.born !== undefined && this.born !== born) go({ seq: null });
    this.born = born;
    this.pictures.clear();
    this.picture = null;
    this.tab = null;
    this.slider.extent(past.last, past.marks);
    this.showStatus();
    this.steer();
  }

  /** The record shown; null is now. */
  get seq() {
    return this.own.until;
  }

  get shown() {
    return this.own.shown;
  }

  // What stands above all

  tell(words) {
    this.notice.hidden = !words;
    this.notice.textContent = words;
  }

  showStatus() {
    const { state, why, missing, changed, watches } = this.own.status;
    fill(this.badge, badge(state));
    const notes = [];
    if (["absent", "unreadable", "newer format", "beginning"].includes(state)) notes.push(why || "The run is being begun; its first record is awaited.");
    else if (why) notes.push(state === "stopped" ? `Stopped: ${why}` : why);
    if (missing) notes.push(`${missing} records are known to have been written and are missing; fsm audit ${this.name} says more.`);
    if (changed?.length) notes.push(`Drawn otherwise than when the run was begun: ${changed.join(", ")}. What is no longer in a drawing is not shown on it.`);
    const { header } = this.own;
    if (header && !Object.keys(header.machines).length) notes.push("Its machines are not installed here, so there is no drawing; the records are.");
    this.tell(notes.join(" "));
    this.follows(watches);
    if (header) this.beside();
  }

  // Runs that are followed

  /** Be told of a run that a state follows, or followed last. @param {string | null} name */
  follows(name) {
    if (!name || name === this.source.name || this.followed.has(name)) return;
    const source = this.source.other(name);
    if (!source) return;
    const news = () => this.followedNews();
    const below = new Reading(
      source,
      {
        waits: () => {},
        begun: () => {
          this.goWith(below);
          this.follows(below.status.watches);
        },
        news: () => below.until === null && news(),
        stands: (status) => {
          this.follows(status.watches);
          news();
        },
        connected: () => {}, // it is said of the page's own run
        panels: () => this.beside(),
        seek: (seq) => this.leave(below, seq),
        unchoose: () => this.choose(null),
      },
      BELOW,
    );
    this.followed.set(name, below);
    below.start();
  }

  /** Show a followed run as it was at the moment that is shown. @param {Reading} run */
  goWith(run) {
    const time = this.seq === null ? null : this.shown.t;
    run.seekTime(time).then(() => this.followedNews(), (e) => this.tell(e.message));
  }

  /** Go to a followed run's own page, at one of its records. @param {Reading} run @param {number} seq */
  leave(run, seq) {
    const { machine, state } = run.statePanel.shows;
    go({ run: run.name, machine, state, seq, panel: null }, true);
    dispatchEvent(new HashChangeEvent("hashchange"));
  }

  followedNews() {
    if (!this.shown || this.closed) return;
    if (this.awaited && this.chart(this.awaited)) this.steer();
    else this.render();
    this.beside();
  }

  /** Of which run a tab is: the page's own, or a followed one. @param {string | null} tab @returns {Reading} */
  run(tab) {
    return this.followed.get(tab?.split("/")[0] ?? "") ?? this.own;
  }

  /** The drawing of a tab. @param {string} tab */
  chart(tab) {
    return this.run(tab).header?.machines[machineOf(tab)];
  }

  /** The tab of a machine. @param {Reading} run @param {string} machine */
  key(run, machine) {
    return run === this.own ? machine : `${run.name}/${machine}`;
  }

  /** What is under way beyond the newest record, on the shown tab. */
  get under() {
    const run = this.run(this.tab);
    return this.seq === null ? run.beyond.m[machineOf(this.tab)]?.s : undefined;
  }

  /** The machines in progress, outermost first, those of the followed runs behind those of their followers. */
  get levels() {
    const levels = [];
    const seen = new Set();
    for (let run = this.own; run?.header && !seen.has(run); ) {
      seen.add(run);
      for (const level of run.stack) levels.push({ ...level, tab: this.key(run, level.machine) });
      run = this.seq === null ? this.followed.get(run.status.watching?.run) : null;
    }
    return levels;
  }

  // Moments

  /** @param {number | null} seq */
  async seek(seq) {
    const to = seq === null ? null : Math.max(0, Math.min(seq, this.own.past.last));
    try {
      if (!(await this.own.seek(to)) || this.closed) return; // the address is another page's by now
    } catch (e) {
      this.tell(e.message);
      return;
    }
    goSoon({ seq: to });
    for (const run of this.followed.values()) this.goWith(run);
    this.render();
    this.beside();
  }

  /** The address says something else. */
  async steer() {
    if (!this.own.header) return;
    const { machine, state, seq, panel } = spot();
    this.state = state ?? null;
    this.panel = panel ?? (state ? "state" : "now");
    this.following(!machine, true);
    const to = seq === undefined || !/^\d+$/.test(seq) ? null : Number(seq);
    if (machine?.includes("/")) this.follows(machine.split("/")[0]);
    this.awaited = machine?.includes("/") && !this.chart(machine) ? machine : null;
    if (to !== null) await this.seek(to); // what is brought into view is where the run stood then
    if (this.closed) return;
    this.turnTo(machine && this.chart(machine) ? machine : this.atWork());
    if (to === null) this.seek(null);
  }

  /** Show what is now in the next frame: once, however much happens until then. */
  renderSoon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.closed) return;
      this.slider.extent(this.own.past.last, this.own.past.marks);
      if (this.seq === null) this.render();
    });
  }

  render() {
    if (!this.shown) return;
    if (this.follow) this.turnSoon();
    if (this.picture) this.picture.mark(this.run(this.tab).shown, this.under);
    else if (this.tab) this.showOutline();
    const standing = this.standing();
    const key = standing.join(" ");
    if (this.follow && this.picture && key && key !== this.stood) this.picture.follow(standing);
    this.stood = key;
    this.where.textContent = this.levels.map((l, i) => (i ? (l.beside ? " | " : " › ") : "") + l.state).join("");
    this.showTabs();
    this.sayMoment();
  }

  /** Where the run stands on the shown machine, outermost first; where it last was, if it stands nowhere. */
  standing() {
    const run = this.run(this.tab);
    const machine = machineOf(this.tab);
    const levels = run.stack.filter((l) => l.machine === machine);
    const { row } = run.shown;
    if (!run.stack.length && row?.machine === machine) return [row.from];
    return levels.flatMap((l) => [l.state, ...(l.overview ?? []).map((o) => `${l.state}.${o}`)]);
  }

  sayMoment() {
    const { seq, t, row } = this.shown;
    const place = row?.place ? `, ${row.place}` : "";
    const at = seq < 0 ? "before the first record" : `record ${seq} of ${this.own.past.last}, ${clock(t)}${place}`;
    this.slider.show(this.seq, at);
  }

  // Machines

  /** The machine that works now: the innermost, but no recovery. */
  atWork() {
    const { machine, machines } = this.own.header;
    const levels = this.levels.filter((l) => !l.at.some((step) => step.endsWith("~!")) && this.chart(l.tab));
    return levels.length ? levels[levels.length - 1].tab : machines[machine] ? machine : Object.keys(machines)[0];
  }

  turnSoon() {
    const next = this.atWork();
    if (next === this.tab || next === this.turning) return;
    clearTimeout(this.turnTimer);
    this.turning = next;
    this.turnTimer = setTimeout(() => {
      this.turning = null;
      if (this.follow && !this.closed && this.atWork() === next) this.turnTo(next);
    }, SETTLE);
  }

  /** @param {boolean} on @param {boolean} [quiet] */
  following(on, quiet = false) {
    this.follow = on;
    this.followButton.setAttribute("aria-pressed", String(on));
    if (quiet) return;
    go({ machine: on ? null : this.tab });
    if (on) {
      this.stood = null;
      this.turnTo(this.atWork());
      this.render();
    }
  }

  /** @param {string | undefined} tab */
  async turnTo(tab) {
    if (!tab || tab === this.tab) return this.showChosen();
    this.tab = tab;
    this.picture = null;
    this.stood = null;
    this.showTabs();
    let picture = this.pictures.get(tab);
    if (!picture) {
      const machine = machineOf(tab);
      this.unpictured = el("p", { class: "quiet", role: "status" }, `Drawing ${machine}…`);
      this.showOutline();
      try {
        picture = new Picture(machine, await this.run(tab).source.picture(machine), this.chart(tab), (path) => this.choose(path));
        picture.canvas.moved = () => this.follow && this.following(false);
        this.pictures.set(tab, picture);
      } catch (e) {
        if (tab !== this.tab) return undefined;
        this.unpictured = el("p", { class: "trouble", role: "alert" }, `There is no picture of ${machine}: ${e.message}`);
        return this.showOutline();
      }
    }
    if (tab !== this.tab) return undefined;
    fill(this.stage, picture.element);
    this.picture = picture;
    this.stood = null;
    this.sayFold();
    this.showChosen();
    this.render();
    if (!this.follow && !this.state) picture.open(this.standing());
    return undefined;
  }

  showChosen() {
    this.picture?.select(this.state);
    if (this.state && !this.follow) this.picture?.reveal(this.state);
  }

  /** Without a picture, or until it is there: the states as a list. */
  showOutline() {
    const { states } = this.chart(this.tab);
    const { under } = this;
    const { shown } = this.run(this.tab);
    const item = (path) => el("li", {}, el("button", { type: "button", class: "link", "data-key": path, onclick: () => this.choose(path) }, path), " ", badge((under?.[path] ?? shown.state(machineOf(this.tab), path)).look));
    fill(this.stage, el("div", { class: "outline" }, this.unpictured, el("ul", {}, ...states.map(item))));
  }

  showTabs() {
    const at = new Set(this.levels.map((l) => l.tab));
    const all = [this.own, ...this.followed.values()].flatMap((run) => Object.keys(run.header?.machines ?? {}).map((m) => this.key(run, m)));
    const order = [...new Set([...at, ...all])].filter((tab) => this.chart(tab));
    const looks = order.map((tab) => {
      const states = Object.values(this.run(tab).shown.m[machineOf(tab)]?.s ?? {});
      return at.has(tab) ? "active" : states.some((s) => s.look === "failed") ? "failed" : states.some((s) => s.visits) ? "visited" : "never";
    });
    const said = `${order}|${looks}|${this.tab}`;
    if (said === this.tabsSaid) return;
    this.tabsSaid = said;
    const tabs = order.map((m, i) =>
      el("button", { type: "button", role: "tab", id: `tab-${m}`, class: looks[i], "data-key": m, "aria-selected": String(m === this.tab), "aria-controls": "stage", tabindex: m === this.tab ? "0" : "-1", "data-machine": m, title: m, onclick: () => this.pick(m), onkeydown: (e) => tabKey(e, this.tabs) }, el("span", { "aria-hidden": "true" }, SIGNS[looks[i]]), ...tabWords(m), el("span", { class: "unseen" }, `, ${looks[i]}`)),
    );
    fill(this.tabs, ...tabs);
    this.stage.setAttribute("aria-labelledby", `tab-${this.tab}`);
    this.tabs.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** @param {string} tab */
  pick(tab) {
    this.following(false, true);
    go({ machine: tab, state: null }, true);
    this.state = null;
    this.turnTo(tab);
    this.beside();
  }

  /** @param {string | null} path */
  choose(path) {
    this.state = path;
    this.panel = path ? "state" : "now";
    go({ state: path, panel: null, machine: path || !this.follow ? this.tab : null }, true);
    if (path) this.following(false, true);
    this.picture?.select(path);
    this.beside();
  }

  foldAll() {
    if (!this.picture) return;
    const composites = this.picture.chart.composites.filter((c) => this.picture.states.has(c));
    const shut = this.picture.folded.size === 0;
    const own = this.state && composites.includes(this.state) ? [this.state] : composites;
    this.picture.fold(shut ? own : composites, shut);
    this.sayFold();
  }

  sayFold() {
    this.foldButton.textContent = this.picture?.folded.size ? "Unfold" : "Fold";
    this.foldButton.title = "Hide or show what is inside the composites: of the chosen one, or of all";
  }

  // Beside the picture

  beside() {
    if (this.besideTimer) return;
    this.besideTimer = setTimeout(() => {
      this.besideTimer = null;
      if (!this.closed) this.showSide();
    }, 60);
  }

  showSide() {
    if (!this.shown) return;
    const tabs = [["now", "Now"], ...(this.state ? [["state", "State"]] : []), ...(this.run(this.tab).hasPanels ? [["panels", "Curves and answers"]] : [])];
    const open = tabs.some(([id]) => id === this.panel) ? this.panel : "now";
    fill(this.sideTabs, ...tabs.map(([id, words]) => el("button", { type: "button", role: "tab", id: `side-${id}`, "data-key": id, "aria-selected": String(id === open), "aria-controls": "side", tabindex: id === open ? "0" : "-1", onclick: () => this.turnSide(id), onkeydown: (e) => tabKey(e, this.sideTabs) }, words)));
    this.side.setAttribute("aria-labelledby", `side-${open}`);
    this.main.querySelector(".run").classList.toggle("wide-side", open === "panels");
    const run = this.run(this.tab);
    const body = { now: this.nowPanel, state: run.statePanel.element, panels: run.panels.element }[open];
    if (this.side.firstChild !== body) fill(this.side, body);
    if (open === "now") fill(this.nowPanel, ...now(this));
    if (open === "state") {
      const machine = machineOf(this.tab);
      const level = run.stack.find((l) => l.machine === machine && l.state === this.state);
      run.statePanel.show(machine, this.state, this.under?.[this.state] ?? run.shown.state(machine, this.state), run.shown.seq, level);
    }
  }

  turnSide(id) {
    this.panel = id;
    go({ panel: id === "now" || id === "state" ? null : id });
    this.showSide();
  }

  close() {
    this.closed = true;
    clearTimeout(this.turnTimer);
    cancelAnimationFrame(this.frame);
    this.slider.close();
    for (const run of [this.own, ...this.followed.values()]) run.close();
  }
}

/** What a tab is called: a machine of a followed run by an arrow, its run unseen. @param {string} tab */
function tabWords(tab) {
  const machine = machineOf(tab);
  return machine === tab ? [` ${tab}`] : [el("span", { "aria-hidden": "true" }, " ↳"), ` ${machine}`, el("span", { class: "unseen" }, ` of run ${tab.split("/")[0]}`)];
}
