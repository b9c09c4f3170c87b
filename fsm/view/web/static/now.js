// What is to be said of a run as it stands: how it ended, the machines at work, the figures, the newest records.

import { badge, clock, duration, el } from "./dom.js";
import { what } from "./state.js";

/** The panel's content. @param {any} page the run's page */
export function now(page) {
  const { facts, seq, rows, t } = page.shown;
  const { watching, runner } = page.seq === null ? page.own.status : {};
  const { ended, stopped } = facts;
  return [
    ended && el("p", { class: "ending" }, badge(ended.outcome), ` ${ended.label ? `by “${ended.label}”, ` : ""}after ${ended.last}`),
    !ended && stopped && el("p", { class: "trouble" }, `Stopped: ${stopped}`),
    page.levels.length ? el("ol", { class: "stack" }, ...page.levels.map((l) => level(page, l))) : null,
    watching && el("p", {}, "It follows run ", el("a", { href: `#run=${encodeURIComponent(watching.run)}` }, watching.run), ` (${watching.state}${watching.place ? `: ${watching.place}` : ""})`),
    el("dl", { class: "facts" }, ...[["records", seq + 1], ["artifacts", facts.artifacts], ["errors", facts.errors], ["begun", facts.began && clock(facts.began)], ["since then", facts.began && duration(t - facts.began)], ["runner", runner && `process ${runner.pid} on ${runner.host}`]].filter(([, v]) => v || v === 0).map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, v)))),
    el("h2", {}, "Newest records"),
    el("ol", { class: "records" }, ...rows.toReversed().map((row) => el("li", { class: row.kind }, el("button", { type: "button", class: "seq", "data-key": row.seq, "aria-label": `Go to record ${row.seq}`, onclick: () => page.seek(row.seq) }, `#${row.seq}`), row.place ? el("span", { class: "place" }, ` ${row.place} `) : " ", what(row), el("small", { class: "quiet" }, ` ${clock(row.time)}`)))),
  ];
}

/** A machine at work: where it stands, how far. */
function level(page, at) {
  const { progress } = at;
  const bar = progress && el("span", { class: "meter" }, el("progress", { "aria-label": `Progress of ${at.state}`, max: progress.total || null, value: progress.total ? progress.done : null }), ` ${progress.done}${progress.total ? ` of ${progress.total}` : ""} ${progress.note}`);
  return el("li", {}, el("button", { type: "button", class: "link", "data-key": at.tab + at.state, onclick: () => (page.pick(at.tab), page.choose(at.state)) }, at.state), el("span", { class: "quiet" }, ` ${at.tab}${at.visit > 1 ? `, visit ${at.visit}` : ""}, since ${clock(at.since)}`), at.overview?.length ? el("div", { class: "quiet" }, `seen from above: ${at.overview.join(" or ")}`) : null, bar);
}
