// Panels that phases bring: curves over epochs, and answers side by side.

import { cut, el, fill, svgEl } from "./dom.js";
import { prose } from "./content.js";

const W = 420;
const H = 200;
const PAD = { left: 44, right: 12, top: 10, bottom: 30 };
const DASHES = ["", "6 4", "2 3", "8 3 2 3"];

/** The panels of a run. */
export class Panels {
  /** @param {any} source */
  constructor(source) {
    this.source = source;
    this.element = el("div", { class: "panels" });
    this.said = "";
    this.shown = new Map();
  }

  /** @returns {Promise<boolean>} whether there are any */
  async load() {
    let panels;
    try {
      ({ panels } = await this.source.panels());
    } catch (e) {
      fill(this.element, el("p", { class: "trouble", role: "alert" }, e.message));
      return true;
    }
    const said = JSON.stringify(panels);
    if (said !== this.said) {
      this.said = said;
      this.shown.clear();
      fill(this.element, ...panels.map((panel) => this.panel(panel)));
    }
    return panels.length > 0;
  }

  panel(panel) {
    const head = el("h2", {}, panel.title);
    if (panel.kind === "trouble") return el("section", {}, head, el("p", { class: "trouble" }, panel.why));
    if (panel.kind === "plot") return el("section", {}, head, plot(panel), panel.note && el("p", { class: "quiet" }, panel.note));
    return el("section", {}, head, this.pages(panel));
  }

  pages(panel) {
    const body = el("div", { class: "pages" });
    const choose = el("select", { "aria-label": panel.title, "data-key": panel.id }, el("option", { value: "" }, "choose…"), ...panel.items.map((i) => el("option", { value: i.id }, i.label)));
    choose.addEventListener("change", async () => {
      if (!choose.value) return fill(body);
      fill(body, el("p", { class: "quiet" }, "Loading…"));
      try {
        fill(body, ...page(await this.source.panel(panel.id, choose.value)));
      } catch (e) {
        fill(body, el("p", { class: "trouble", role: "alert" }, e.message));
      }
      return undefined;
    });
    return el("div", {}, choose, body);
  }
}

function page(said) {
  return said.rows.map((row, n) =>
    el(
      "details",
      { class: "answer", open: n === 0 },
      el("summary", {}, cut(row.title, 110)),
      row.text && el("pre", { class: "text prompt" }, row.text),
      el("div", { class: "side-by-side" }, ...row.cells.map((cell) => el("section", {}, el("h3", {}, cell.title), el("dl", { class: "facts" }, ...(cell.facts ?? []).map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, v)))), cell.text ? prose(cell.text) : null, cell.rules && rules(cell.rules)))),
    ),
  );
}

function rules(of) {
  return el("details", {}, el("summary", {}, `Why this score: ${of.length} rules`), el("table", { class: "rules" }, el("tbody", {}, ...of.map(([rule, why]) => el("tr", {}, el("th", { scope: "row" }, ...breakable(rule)), el("td", {}, why))))));
}

/** A dotted name that a line may break after its dots. */
function breakable(name) {
  return name.split(/(?<=\.)/).flatMap((part, n) => (n ? [el("wbr"), part] : [part]));
}

/** Lines with intervals; what they show is in a table besides. @param {any} said */
function plot(said) {
  const points = said.lines.flatMap((line) => line.points);
  if (!points.length) return el("p", { class: "quiet" }, "Nothing yet.");
  const xs = points.map((p) => p[0]);
  const ys = points.flatMap((p) => p.slice(1)).filter((v) => v !== null);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const ticks = round(said.from ?? Math.min(...ys), said.to ?? Math.max(...ys));
  const [y0, y1] = [ticks[0], ticks[ticks.length - 1]];
  const x = (v) => PAD.left + ((x1 === x0 ? 0.5 : (v - x0) / (x1 - x0)) * (W - PAD.left - PAD.right));
  const y = (v) => H - PAD.bottom - ((v - y0) / (y1 - y0)) * (H - PAD.top - PAD.bottom);
  const svg = svgEl("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "img", "aria-label": `${said.title} by ${said.x}` });
  for (const v of ticks) {
    svg.append(svgEl("line", { class: "grid", x1: PAD.left, x2: W - PAD.right, y1: y(v), y2: y(v) }), svgEl("text", { x: PAD.left - 6, y: y(v) + 4, "text-anchor": "end" }, short(v)));
  }
  for (const v of [...new Set(xs)]) if (xs.length < 200) svg.append(svgEl("text", { x: x(v), y: H - PAD.bottom + 16, "text-anchor": "middle" }, v));
  svg.append(svgEl("text", { x: (W + PAD.left) / 2, y: H - 2, "text-anchor": "middle" }, said.x));
  said.lines.forEach((line, n) => series(svg, line, n, x, y));
  const keys = said.lines.map((line, n) => el("li", { class: `line${n % 4}` }, key(line, n), ` ${line.name}`));
  return el("figure", {}, svg, el("figcaption", {}, el("ul", { class: "keys" }, ...keys)), table(said));
}

/** Round numbers from `low` or below it to `high` or above it, four to seven of them. */
function round(low, high) {
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const rough = (high - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 2.5, 5, 10].find((k) => k * unit >= rough * 0.999);
  const ticks = [];
  for (let k = Math.floor(low / step + 1e-9); (k - 1) * step < high - 1e-9 * step; k++) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

function series(svg, line, n, x, y) {
  const group = svgEl("g", { class: `line${n % 4}` });
  const whole = line.points.filter((p) => p[1] !== null);
  const band = whole.filter((p) => p.length >= 4);
  if (band.length > 1) {
    const edge = [...band.map((p) => `${x(p[0])},${y(p[3])}`), ...band.toReversed().map((p) => `${x(p[0])},${y(p[2])}`)];
    group.append(svgEl("polygon", { class: "band", points: edge.join(" ") }));
  }
  group.append(svgEl("polyline", { points: whole.map((p) => `${x(p[0])},${y(p[1])}`).join(" "), "stroke-dasharray": dashes(line, n) }));
  if (!line.dashed) for (const p of whole) group.append(svgEl("circle", { cx: x(p[0]), cy: y(p[1]), r: 3 }, svgEl("title", {}, `${line.name}, ${p[0]}: ${short(p[1])}`)));
  svg.append(group);
}

function dashes(line, n) {
  return line.dashed ? "4 4" : DASHES[n % 4];
}

function key(line, n) {
  const svg = svgEl("svg", { viewBox: "0 0 28 10", width: 28, height: 10, "aria-hidden": "true" });
  svg.append(svgEl("polyline", { points: "0,5 28,5", "stroke-dasharray": dashes(line, n) }));
  return svg;
}

function table(said) {
  const xs = [...new Set(said.lines.filter((l) => !l.dashed).flatMap((l) => l.points.map((p) => p[0])))];
  const cell = (line, v) => {
    const p = line.points.find((q) => q[0] === v);
    if (!p || p[1] === null) return "";
    return p.length >= 4 ? `${short(p[1])} (${short(p[2])} to ${short(p[3])})` : short(p[1]);
  };
  const head = el("tr", {}, el("th", { scope: "col" }, said.x), ...said.lines.map((l) => el("th", { scope: "col" }, l.name)));
  const rows = xs.map((v) => el("tr", {}, el("th", { scope: "row" }, v), ...said.lines.map((l) => el("td", { class: "n" }, cell(l, v)))));
  return el("details", {}, el("summary", {}, "As a table"), el("div", { class: "wide" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows))));
}

function short(v) {
  if (v === null || v === undefined) return "";
  if (Math.abs(v) >= 10000) return `${(v / 1000).toFixed(0)}k`;
  return Number(v.toFixed(Math.abs(v) < 1 ? 3 : 2)).toString();
}
