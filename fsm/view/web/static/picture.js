// The drawing of a machine: taken over once, and from then on only marked. Its words are the author's, and are text.

import { SIGNS, duration, el, svgEl } from "./dom.js";
import { Canvas } from "./canvas.js";

const UNSAFE = new Set(["script", "foreignobject", "image", "iframe", "a", "style", "use", "animate", "set"]);

/** The nodes of a picture as nodes of this page: shapes and text. Styles are set by hand, for the page's policy reads none.
 * @param {string} text @returns {any} */
function adopted(text) {
  const read = new DOMParser().parseFromString(text, "image/svg+xml");
  if (read.querySelector("parsererror") || read.documentElement.localName !== "svg") throw new Error("It is no picture.");
  const copy = (from) => {
    const to = document.createElementNS("http://www.w3.org/2000/svg", from.localName);
    for (const { name, value } of from.attributes) {
      if (name === "data-style") {
        if (!/fill: white !important/.test(value)) to.style.cssText = value; // the ground of a label is the page's
      } else if (!/^on|href$|^style$/i.test(name)) to.setAttribute(name, value);
    }
    for (const child of from.childNodes) {
      if (child.nodeType === 3) to.append(child.data);
      else if (child.nodeType === 1 && !UNSAFE.has(child.localName.toLowerCase())) to.append(copy(child));
    }
    return to;
  };
  return copy(read.documentElement);
}

/** One machine's picture in a box, with marks. */
export class Picture {
  /**
   * @param {string} machine
   * @param {{svg: string, states: Record<string, string>, edges: Record<string, number>, entries: Record<string, number[]>,
   *   boxes: Record<string, number[]>, counts: Record<string, [number, number]>}} drawn
   * @param {{edges: Record<string, [string, string, string]>, composites: string[]}} chart
   * @param {(path: string) => void} choose called with the state that was clicked
   */
  constructor(machine, drawn, chart, choose) {
    this.machine = machine;
    this.chart = chart;
    this.choose = choose;
    this.svg = adopted(drawn.svg);
    this.svg.setAttribute("role", "group");
    this.svg.setAttribute("aria-label", `Diagram of ${machine}. Arrow keys go from state to state, Enter shows one.`);
    this.svg.removeAttribute("aria-roledescription");
    for (const marker of this.svg.querySelectorAll("marker")) marker.setAttribute("aria-hidden", "true");
    this.canvas = new Canvas(this.svg);
    this.element = this.canvas.element;
    /** @type {Map<string, any>} */
    this.states = new Map();
    /** @type {Map<string, {path: any, label: any, source: string, target: string, words: string, count: any}>} */
    this.edges = new Map();
    this.folded = new Set();
    this.shown = new Map(); // what is marked already, so that only changes touch the page
    this.place(drawn);
    this.svg.addEventListener("keydown", (event) => this.key(event));
  }

  place(drawn) {
    const byId = new Map([...this.svg.querySelectorAll("[id]")].map((e) => [e.id, e]));
    const paths = new Map();
    const labels = new Map();
    for (const e of this.svg.querySelectorAll("[data-id]")) {
      if (e.localName === "path") paths.set(e.dataset.id, e);
      else if (e.classList.contains("label")) labels.set(e.dataset.id, e.parentNode);
    }
    const place = new Map([...byId.values()].map((e, n) => [e, n])); // keys go through them as they stand in the picture
    const groups = Object.entries(drawn.states).map(([path, id]) => [path, byId.get(id)]).filter(([, group]) => group);
    for (const [path, group] of groups.sort((a, b) => place.get(a[1]) - place.get(b[1]))) this.state(path, group);
    for (const [id, k] of Object.entries(drawn.edges)) {
      const name = `edge${k}`;
      const [source, target, words] = this.chart.edges[id] ?? ["", "", ""];
      if (paths.has(name)) this.edges.set(id, { path: paths.get(name), label: labels.get(name), source, target, words, count: null, at: drawn.counts[k] });
    }
    this.entries = Object.entries(drawn.entries).flatMap(([target, ks]) => ks.map((k) => ({ path: paths.get(`edge${k}`), target })));
    this.entries = this.entries.filter(({ path }) => path);
    this.boxes = drawn.boxes;
    this.plates = this.svg.appendChild(svgEl("g", { class: "fsm-plates", "aria-hidden": "true" })); // above all lines
    const first = this.states.values().next().value;
    if (first) first.group.setAttribute("tabindex", "0");
  }

  state(path, group) {
    const composite = this.chart.composites.includes(path);
    const name = path.slice(path.lastIndexOf(".") + 1);
    const given = { group, composite, name, mark: null, title: svgEl("title") };
    group.classList.add("fsm-state");
    if (composite) group.classList.add("fsm-composite");
    for (const [key, value] of Object.entries({ tabindex: "-1", role: "button", "data-path": path })) group.setAttribute(key, value);
    group.prepend(given.title);
    group.addEventListener("click", (event) => {
      event.stopPropagation();
      this.choose(path);
    });
    this.states.set(path, given);
  }

  key(event) {
    const path = event.target.closest?.("[data-path]")?.dataset.path;
    if (!path) return;
    const paths = [...this.states.keys()].filter((p) => !this.hidden(p));
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (step) this.focus(paths[(paths.indexOf(path) + step + paths.length) % paths.length]);
    else if (event.key === "Enter" || event.key === " ") this.choose(path);
    else if (event.key === "-" || event.key === "+") this.states.get(path).composite && this.fold(path, event.key === "-");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  focus(path) {
    for (const { group } of this.states.values()) group.setAttribute("tabindex", "-1");
    const { group } = this.states.get(path);
    group.setAttribute("tabindex", "0");
    group.focus({ preventScroll: true });
    this.canvas.show(this.box(path), false);
  }

  /** Mark a moment. @param {import("./timeline.js").Moment} moment @param {any} beyond what is under way, by path */
  mark(moment, beyond = {}) {
    const of = moment.m[this.machine] ?? { s: {}, e: {} };
    for (const [path, held] of this.states) {
      const view = beyond[path] ?? of.s[path] ?? { look: "never" };
      if (this.shown.get(path) !== view) {
        this.shown.set(path, view);
        this.markState(path, held, view);
      }
    }
    for (const [id, held] of this.edges) {
      const n = of.e[id] ?? 0;
      if (this.shown.get(held) !== n) {
        this.shown.set(held, n);
        this.markEdge(held, n);
      }
    }
    for (const held of this.entries) {
      const view = beyond[held.target] ?? of.s[held.target];
      held.path.classList.toggle("fsm-taken", Boolean(view && (view.visits || view.active)));
    }
  }

  markState(path, held, view) {
    for (const look of ["active", "visited", "failed", "never"]) held.group.classList.toggle(`fsm-${look}`, view.look === look);
    held.group.classList.toggle("fsm-running", Boolean(view.active));
    const words = [view.look];
    if (view.visits) words.push(view.visits === 1 ? "visited once" : `visited ${view.visits} times`);
    if (view.seconds) words.push(duration(view.seconds));
    if (view.errors) words.push(view.errors === 1 ? "1 error" : `${view.errors} errors`);
    if (view.skipped) words.push(`${view.skipped} skipped`);
    if (held.composite && view.inside) words.push(`${view.seen ?? 0} of ${view.inside} states inside visited`);
    held.title.textContent = `${path}: ${words.join(", ")}`;
    held.group.setAttribute("aria-label", `${path}: ${words.join(", ")}`);
    this.pill(path, held, view);
  }

  /** A small plate on the upper edge of a state: its sign, its visits, its time. */
  pill(path, held, view) {
    if (view.look === "never" && !view.visits) {
      held.mark?.remove();
      held.mark = null;
      return;
    }
    const parts = [view.active && view.look !== "active" ? `${SIGNS[view.look]}${SIGNS.active}` : SIGNS[view.look]];
    if (view.visits > 1) parts.push(`${view.visits}×`);
    if (view.seconds >= 0.0005) parts.push(duration(view.seconds));
    if (held.composite && view.inside) parts.push(`${view.seen ?? 0}/${view.inside}`);
    const text = parts.join(" ");
    if (!held.mark) {
      held.mark = svgEl("g", { class: "fsm-pill" }, svgEl("rect", { rx: 9, height: 18, y: -9 }), svgEl("text", { y: 4.5 }));
      this.plates.append(held.mark);
      held.mark.classList.toggle("fsm-hidden", this.hidden(path));
    }
    for (const look of ["active", "visited", "failed"]) held.mark.classList.toggle(`fsm-${look}`, view.look === look);
    held.mark.lastChild.textContent = text;
    const wide = 11 + text.length * 7.2;
    held.mark.firstChild.setAttribute("width", String(wide));
    held.mark.firstChild.setAttribute("x", String(-wide / 2));
    const [x, y, width] = this.boxes[path] ?? [0, 0, 0];
    // the arrow that arrives in the middle of the upper edge stays in sight
    const right = held.composite ? x + width + 4 : Math.max(x + width + 8, x + width / 2 + 8 + wide);
    held.mark.setAttribute("transform", `translate(${right - wide / 2}, ${held.composite ? y - 4 : y - 1})`);
  }

  markEdge(held, n) {
    held.path.classList.toggle("fsm-taken", n > 0);
    held.label?.classList.toggle("fsm-taken", n > 0);
    if (n < 2) {
      held.count?.remove();
      held.count = null;
    } else {
      held.count ??= this.counter(held);
      held.count.textContent = `${n}×`;
    }
    held.words2 ??= held.path.insertBefore(svgEl("title"), null);
    held.words2.textContent = `${held.source} → ${held.target}${held.words ? `: ${held.words}` : ""}: ${n ? `taken ${n === 1 ? "once" : `${n} times`}` : "not taken"}`;
  }

  counter(held) {
    const [x, y] = held.at ?? [0, 0];
    return this.plates.appendChild(svgEl("text", { class: "fsm-count", x, y: y + 4 }));
  }

  /** Which state is chosen. @param {string | null} path */
  select(path) {
    for (const [of, { group }] of this.states) {
      group.classList.toggle("fsm-selected", of === path);
      if (of === path) group.setAttribute("aria-current", "true");
      else group.removeAttribute("aria-current");
    }
  }

  // Folding: the box stays where the author's drawing has it, and what is in it goes.

  hidden(path) {
    return [...this.folded].some((f) => path.startsWith(`${f}.`));
  }

  /** @param {string} composite @param {boolean} shut */
  fold(composite, shut) {
    if (shut) this.folded.add(composite);
    else this.folded.delete(composite);
    this.states.get(composite)?.group.classList.toggle("fsm-folded", shut);
    const out = (path) => this.hidden(path);
    const names = new Set();
    for (const [path, { group, name, mark }] of this.states) {
      group.classList.toggle("fsm-hidden", out(path));
      mark?.classList.toggle("fsm-hidden", out(path));
      if (out(path)) names.add(name);
    }
    const within = (path) => this.folded.has(path) || out(path);
    for (const { path, label, source, target, count } of this.edges.values()) {
      const gone = within(source) && within(target) && this.shared(source, target);
      for (const e of [path, label, count]) e?.classList.toggle("fsm-hidden", gone);
    }
    for (const { path, target } of this.entries) path.classList.toggle("fsm-hidden", out(target));
    const shutNames = new Set([...this.folded].map((f) => f.slice(f.lastIndexOf(".") + 1)));
    for (const e of this.svg.querySelectorAll("g.node, g.note-cluster, g.note-edge")) {
      if (e.dataset.path) continue;
      const found = /-state-(.+?)(?:_start|_end|----.*)-\d+$/.exec(e.id);
      if (found) e.classList.toggle("fsm-hidden", names.has(found[1]) || (shutNames.has(found[1]) && !e.id.includes("----")));
    }
  }

  shared(source, target) {
    return [...this.folded].some((f) => `${source}.`.startsWith(`${f}.`) && `${target}.`.startsWith(`${f}.`));
  }

  /** @param {string} path */
  reveal(path) {
    const around = [...this.folded].filter((f) => path.startsWith(`${f}.`)).sort()[0]; // what is folded is shown by its box
    if (this.states.has(around ?? path)) this.canvas.show(this.box(around ?? path), true);
  }

  /** Where a state is in the picture; to ask the browser for it would make it lay out all that has just been changed. @param {string} path */
  box(path) {
    const [x, y, width, height] = this.boxes[path] ?? [0, 0, this.canvas.width, this.canvas.height];
    return { x, y, width, height };
  }

  /** The whole, or of a picture too large to be read so, the part that the run stands in, or began in, or the beginning. @param {string[]} paths */
  open(paths) {
    if (this.canvas.overseen) return;
    const shown = paths.filter((p) => this.states.has(p));
    const simple = [...this.states].filter(([, held]) => !held.composite).map(([path]) => path);
    const first = simple.find((path) => this.shown.get(path)?.visits) ?? simple[0];
    if (shown.length || first) this.reveal(shown.length ? shown[shown.length - 1] : first);
  }

  /** Bring what the run stands in into view. @param {string[]} paths */
  follow(paths) {
    const shown = paths.filter((p) => this.states.has(p));
    if (shown.length) this.reveal(shown[shown.length - 1]);
  }
}

/** The signs of the drawing, explained. */
export function legend() {
  const looks = ["active", "visited", "failed", "never"];
  const parts = looks.map((look) => el("li", { class: `key fsm-${look}` }, el("span", { class: "swatch", "aria-hidden": "true" }, SIGNS[look]), ` ${look}`));
  parts.push(el("li", { class: "key" }, el("span", { class: "stroke", "aria-hidden": "true" }), " taken, 3×: how often"));
  return el("ul", { class: "legend", "aria-label": "Legend" }, ...parts);
}

