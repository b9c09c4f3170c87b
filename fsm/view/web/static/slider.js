// The journal, to walk along: any record, a step, or played.

import { el } from "./dom.js";

const SPEEDS = [2, 5, 20, 100]; // records a second

/** A slider over the records of a run. */
export class Slider {
  /** @param {(seq: number | null) => void} seek called with a record, or null for what is now */
  constructor(seek) {
    this.seek = seek;
    this.last = -1;
    this.seq = null;
    this.range = el("input", { type: "range", min: "0", max: "0", step: "1", "aria-label": "Record of the journal", oninput: () => this.to(Number(this.range.value)) });
    this.marks = el("div", { class: "marks", "aria-hidden": "true" });
    this.play = el("button", { type: "button", class: "play", onclick: () => this.toggle() });
    this.speed = el("select", { "aria-label": "Records a second" }, ...SPEEDS.map((s) => el("option", { value: s }, `${s}/s`)));
    this.speed.value = "5";
    this.words = el("output", { class: "moment", "aria-live": "off" });
    this.now = el("button", { type: "button", class: "now", onclick: () => this.toNow() }, "Now");
    const step = (n, sign, label) => el("button", { type: "button", "aria-label": label, onclick: () => this.to(Math.max(0, Math.min(this.last, this.here + n))) }, sign);
    this.element = el("div", { class: "slider", role: "group", "aria-label": "Time" }, step(-1, "◂", "One record back"), this.play, step(1, "▸", "One record on"), el("div", { class: "track" }, this.range, this.marks), this.speed, this.now, this.words);
    this.playing(false);
  }

  get here() {
    return this.seq ?? this.last;
  }

  /** @param {number} last @param {[number, string][]} marks */
  extent(last, marks) {
    if (last !== this.last || marks.length !== this.marked) {
      this.last = last;
      this.marked = marks.length;
      this.range.max = String(Math.max(0, last));
      if (this.seq === null) this.range.value = String(Math.max(0, last));
      this.paint(marks);
    }
  }

  paint(marks) {
    const shown = marks.slice(-300);
    this.marks.replaceChildren(
      ...shown.map(([seq, kind]) => {
        const mark = el("span", { class: kind });
        mark.style.left = `${(100 * seq) / Math.max(1, this.last)}%`;
        return mark;
      }),
    );
  }

  /** @param {number | null} seq @param {string} words */
  show(seq, words) {
    this.seq = seq;
    this.range.value = String(Math.max(0, this.here));
    this.range.setAttribute("aria-valuetext", words);
    this.words.textContent = words;
    this.now.setAttribute("aria-pressed", String(seq === null));
    this.element.classList.toggle("past", seq !== null);
  }

  to(seq) {
    this.seq = seq;
    this.seek(seq);
  }

  toNow() {
    this.playing(false);
    this.seek(null);
  }

  toggle() {
    if (!this.timer && this.here >= this.last) this.to(0);
    this.playing(!this.timer);
  }

  playing(on) {
    clearTimeout(this.timer);
    this.timer = null;
    this.play.textContent = on ? "❚❚" : "▶";
    this.play.setAttribute("aria-label", on ? "Pause" : "Play the journal");
    if (!on) return;
    const step = async () => {
      if (this.here >= this.last) return this.playing(false);
      await this.seek(this.here + 1);
      if (this.timer) this.timer = setTimeout(step, 1000 / Number(this.speed.value));
      return undefined;
    };
    this.timer = setTimeout(step, 1000 / Number(this.speed.value));
  }

  close() {
    clearTimeout(this.timer);
    this.timer = null;
  }
}
