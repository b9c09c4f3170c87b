// A picture to pan and to zoom: by wheel, by dragging, by keys and by buttons.

import { el } from "./dom.js";

const LEAST = 0.05;
const MOST = 4;
const READABLE = 0.7; // the scale at which words are read, and to which a followed state is brought
const MARGIN = 40;
const GLIDE = 400; // ms
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const TINY = 0.45; // the scale below which a whole picture shows no more than its outline

/** A box in which a picture lies, moved and scaled as one. */
export class Canvas {
  /** @param {any} svg */
  constructor(svg) {
    this.svg = svg;
    this.x = 0;
    this.y = 0;
    this.scale = 1;
    this.moved_at = 0;
    this.width = Number(svg.getAttribute("width")) || 800;
    this.height = Number(svg.getAttribute("height")) || 600;
    svg.classList.add("drawing");
    this.element = el("div", { class: "canvas", onwheel: (e) => this.wheel(e), onpointerdown: (e) => this.grab(e), onkeydown: (e) => this.key(e) }, svg);
    this.element.addEventListener("click", (e) => this.dragged && (e.stopPropagation(), e.preventDefault()), true);
    this.fitted = false;
    this.whole = true; // until a part was looked for
    this.w = this.h = 0; // of the box; the browser tells of them, for each question would make it lay out the page
    new ResizeObserver(() => this.sized()).observe(this.element);
  }

  measure() {
    this.w = this.element.clientWidth;
    this.h = this.element.clientHeight;
  }

  sized() {
    this.measure();
    if (this.whole || !this.fitted) this.fit();
  }

  apply(smooth = false) {
    const now = performance.now();
    const still = STILL.matches || now - this.moved_at < GLIDE; // where one glide would cut the other off, the picture jumps
    this.moved_at = now;
    this.svg.classList.toggle("gliding", smooth && !still);
    this.svg.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
  }

  /** The whole picture. */
  fit() {
    if (!this.w) this.measure();
    const { w, h } = this;
    if (!w || !h) return;
    this.scale = Math.min(1, (w - 16) / this.width, (h - 16) / this.height);
    this.x = (w - this.width * this.scale) / 2;
    this.y = (h - this.height * this.scale) / 2;
    this.fitted = this.whole = true;
    this.apply(true);
  }

  /** Whether the whole picture can be read, more or less. */
  get overseen() {
    if (!this.fitted) this.fit();
    return !this.fitted || Math.min((this.w - 16) / this.width, (this.h - 16) / this.height) >= TINY;
  }

  /** @param {number} factor @param {number} [cx] @param {number} [cy] the point that stays where it is */
  zoom(factor, cx = this.w / 2, cy = this.h / 2, smooth = false) {
    const scale = Math.min(MOST, Math.max(LEAST, this.scale * factor));
    this.whole = false;
    this.x = cx - ((cx - this.x) * scale) / this.scale;
    this.y = cy - ((cy - this.y) * scale) / this.scale;
    this.scale = scale;
    this.apply(smooth);
  }

  wheel(event) {
    event.preventDefault();
    const box = this.element.getBoundingClientRect();
    if (event.shiftKey && !event.ctrlKey) {
      this.whole = false;
      this.x -= event.deltaY || event.deltaX;
      this.apply();
    } else {
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
    }
    this.moved?.();
  }

  grab(event) {
    if (event.button !== 0) return;
    this.dragged = false;
    const from = { x: event.clientX - this.x, y: event.clientY - this.y, cx: event.clientX, cy: event.clientY };
    const move = (e) => {
      if (!this.dragged && Math.hypot(e.clientX - from.cx, e.clientY - from.cy) < 4) return;
      this.dragged = true;
      this.whole = false;
      this.moved?.();
      this.x = e.clientX - from.x;
      this.y = e.clientY - from.y;
      this.apply();
    };
    const drop = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", drop);
      removeEventListener("pointercancel", drop);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", drop);
    addEventListener("pointercancel", drop);
  }

  key(event) {
    const pan = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (pan && (event.shiftKey || event.target === this.element)) {
      this.whole = false;
      this.x += pan[0];
      this.y += pan[1];
      this.apply();
    } else if (event.key === "0") this.fit();
    else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else return;
    this.moved?.();
    event.preventDefault();
  }

  /** Bring a part of the picture into view. @param {{x: number, y: number, width: number, height: number}} part
   * @param {boolean} readable also to a scale at which it is read */
  show(part, readable) {
    if (!this.fitted) this.fit();
    const { w, h } = this;
    if (!w || !h) return;
    const from = { x: this.x, y: this.y, scale: this.scale };
    const { x, y } = part;
    if (readable && this.scale < READABLE) {
      this.scale = READABLE;
      this.whole = false;
    }
    const left = this.x + x * this.scale;
    const top = this.y + y * this.scale;
    const width = part.width * this.scale;
    const height = part.height * this.scale;
    const across = left >= MARGIN && left + width <= w - MARGIN;
    const down = top >= MARGIN && top + height <= h - MARGIN;
    if (!across || !down) {
      this.whole = false;
      this.x = w / 2 - (x + part.width / 2) * this.scale;
      this.y = height > h - 2 * MARGIN ? MARGIN - y * this.scale : h / 2 - (y + part.height / 2) * this.scale;
    }
    if (this.x !== from.x || this.y !== from.y || this.scale !== from.scale) this.apply(true);
  }
}
