// The address of the page: which run, machine, state, record and panel it shows, so that a link says what one sees.

const OFTEN = 200; // ms between two changes of the address while a run is walked through: browsers count them

let coming = {};
let timer;
let changed = -OFTEN;
const forget = () => {
  clearTimeout(timer);
  coming = {};
};
addEventListener("hashchange", forget); // somebody went elsewhere
addEventListener("popstate", forget);

const written = (words) => {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const [key, value] of Object.entries(words)) {
    if (value === null || value === undefined) said.delete(key);
    else said.set(key, String(value));
  }
  return said;
};

/** What the address says: run, machine, state, seq, panel. */
export function spot() {
  return Object.fromEntries(written(coming));
}

/** Say something else in the address; null takes a word out. @param {Record<string, any>} words @param {boolean} [step] whether Back leads back */
export function go(words, step = false) {
  const hash = `#${written({ ...coming, ...words })}`;
  forget();
  if (hash === location.hash) return;
  changed = performance.now();
  if (step) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
}

/** Say it in a moment, with what is said until then. @param {Record<string, any>} words */
export function goSoon(words) {
  const all = { ...coming, ...words };
  forget();
  coming = all;
  timer = setTimeout(() => go({}), Math.max(0, changed + OFTEN - performance.now()));
}

/** The machine of a tab: that of a followed run has the run's name before it. @param {string} tab */
export function machineOf(tab) {
  return tab?.slice(tab.indexOf("/") + 1);
}
