// The page: its address says what is shown, and it shows what its address says.

import { el, fill } from "./dom.js";
import { go, spot } from "./address.js";
import { EmbeddedRun, ServedRun } from "./source.js";
import { RunList } from "./runs.js";
import { RunPage } from "./run.js";

const THEMES = ["auto", "light", "dark"];

function theme() {
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("theme") ?? "auto";
  } catch {
    // a page that may keep nothing follows the system
  }
  const button = el("button", { type: "button", class: "theme" });
  const show = () => {
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    button.textContent = { auto: "◐ auto", light: "☀ light", dark: "☾ dark" }[chosen];
    button.setAttribute("aria-label", `Colours: ${chosen}. Change.`);
  };
  button.addEventListener("click", () => {
    chosen = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
    try {
      localStorage.setItem("theme", chosen);
    } catch {
      // as above
    }
    show();
  });
  show();
  return button;
}

/** Begin. */
function begin() {
  const app = document.getElementById("app");
  const text = document.getElementById("held")?.textContent;
  const held = text ? JSON.parse(text) : null;
  if (held && !location.hash) go(held.open);
  const main = el("main", { id: "main", tabindex: "-1" });
  const trail = el("nav", { "aria-label": "Where you are", class: "trail" });
  const skip = el("a", { class: "skip", href: "#main", onclick: (e) => (e.preventDefault(), main.focus()) }, "Skip to the content");
  fill(app, skip, el("header", { class: "top" }, trail, theme()), main);
  let page = null;
  const show = () => {
    const { run } = spot();
    if (page && page.name === (run ?? null)) return page.steer?.();
    page?.close();
    if (held) page = new RunPage(main, trail, new EmbeddedRun(held.followed?.[run] ?? held, held.followed));
    else page = run ? new RunPage(main, trail, new ServedRun(run)) : new RunList(main, trail);
    return undefined;
  };
  addEventListener("hashchange", show);
  addEventListener("popstate", show);
  show();
}

begin();
