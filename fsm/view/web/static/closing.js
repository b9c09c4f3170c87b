// The room that folded composites leave, closed: what is left of the picture moves together, in the order in which it stands.

const GAP = 34; // points of empty room that stay
const LETTER = 9; // points, of a letter at most
const PLATE = { above: 14, right: 70 }; // of a state's sign, visits and time, which stand on its corner
const SMALL = 40; // a path no larger than this is a shape, and takes room; a longer one is a line, and goes along

/**
 * Along one axis: where each coordinate goes, when everything between the taken spans is at most GAP wide.
 * @param {[number, number][]} spans @param {number} end
 * @returns {(at: number) => number}
 */
export function closed(spans, end) {
  const knots = [[0, 0]]; // [before, after]
  const step = (to, most) => {
    const [before, after] = knots[knots.length - 1];
    if (to > before) knots.push([to, after + Math.min(to - before, most)]);
  };
  for (const [from, to] of spans.toSorted((a, b) => a[0] - b[0])) {
    step(from, GAP);
    step(to, Infinity);
  }
  step(end, GAP);
  return (at) => {
    if (at <= 0) return at;
    const next = knots.findIndex(([before]) => before >= at);
    if (next < 0) return knots.at(-1)[1] + at - knots.at(-1)[0];
    const [[a, to], [b, on]] = [knots[next - 1], knots[next]];
    return to + ((at - a) * (on - to)) / (b - a);
  };
}

const attribute = (element, name) => Number(element.getAttribute(name)) || 0;
const pairs = (text) => {
  const numbers = (text.match(/-?[\d.]+(?:e-?\d+)?/g) ?? []).map(Number);
  return [numbers.filter((_, n) => n % 2 === 0), numbers.filter((_, n) => n % 2)];
};
const hidden = (element) => Boolean(element.closest(".fsm-hidden"));

/** The shapes of a picture, each where its author's drawing has it and where it is now. */
export class Shapes {
  /** @param {any} svg */
  constructor(svg) {
    this.width = attribute(svg, "width");
    this.height = attribute(svg, "height");
    this.svg = svg;
    this.all = [...svg.querySelectorAll("rect, circle, ellipse, tspan, path, polygon")].filter((e) => !e.closest("defs, marker, .fsm-plates")).map(shape);
    this.whole = !svg.querySelector("g[transform]:not(.fsm-pill)"); // each stands by its own coordinates
  }

  /** Close what is empty, or with `apart` have everything where it was. @param {boolean} apart @returns {{x: (at: number) => number, y: (at: number) => number}} */
  close(apart) {
    const taken = apart || !this.whole ? [] : this.all.flatMap((s) => (hidden(s.element) ? [] : s.takes()));
    const same = (at) => at;
    const x = taken.length ? closed(taken.map((t) => t.x), this.width) : same;
    const y = taken.length ? closed(taken.map((t) => t.y), this.height) : same;
    for (const s of this.all) s.move(x, y);
    const [width, height] = [x(this.width), y(this.height)];
    this.svg.setAttribute("width", String(width));
    this.svg.setAttribute("height", String(height));
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    return { x, y };
  }
}

/** @param {any} element */
function shape(element) {
  const set = (values) => Object.entries(values).forEach(([name, value]) => element.setAttribute(name, String(value)));
  const span = (from, to) => [from, to];
  if (element.localName === "rect") {
    const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => attribute(element, name));
    const around = element.matches(".outer, .inner, .cluster > rect, .note-cluster > rect");
    const plated = element.matches(".label-container");
    const room = { x: span(x - 4, x + width + (plated ? PLATE.right : 4)), y: span(y - (plated ? PLATE.above : 4), y + height + 4) };
    const edges = [span(x - 4, x + 4), span(x + width - 4, x + width + 4)].flatMap((h) => [span(y - PLATE.above, y + 26), span(y + height - 4, y + height + 4)].map((v) => ({ x: h, y: v })));
    return {
      element,
      takes: () => (!around ? [room] : element.matches(".note-cluster > rect") ? [] : edges),
      move: (fx, fy) => set({ x: fx(x), y: fy(y), width: fx(x + width) - fx(x), height: fy(y + height) - fy(y) }),
    };
  }
  if (element.localName === "path" || element.localName === "polygon") {
    const name = element.localName === "path" ? "d" : "points";
    const text = element.getAttribute(name) ?? "";
    const [xs, ys] = pairs(text);
    const box = { x: span(Math.min(...xs), Math.max(...xs)), y: span(Math.min(...ys), Math.max(...ys)) };
    const small = xs.length && (name === "points" || (box.x[1] - box.x[0] <= SMALL && box.y[1] - box.y[0] <= SMALL && !element.dataset.edge));
    return {
      element,
      takes: () => (small ? [box] : []),
      move: (fx, fy) => {
        let n = 0;
        element.setAttribute(name, text.replace(/-?[\d.]+(?:e-?\d+)?/g, (number) => String(n++ % 2 ? fy(Number(number)) : fx(Number(number)))));
      },
    };
  }
  const [cx, cy] = element.localName === "tspan" ? ["x", "y"] : ["cx", "cy"];
  const [x, y] = [attribute(element, cx), attribute(element, cy)];
  const half = element.localName === "tspan" ? (element.textContent.length * LETTER) / 2 : attribute(element, "r") || attribute(element, "rx");
  return {
    element,
    takes: () => [{ x: span(x - half, x + half), y: span(y - 16, y + 8) }],
    move: (fx, fy) => set({ [cx]: fx(x), [cy]: fy(y) }),
  };
}
