// The address of the page: which run, machine, state, record and panel it shows, so that a link says what one sees.

/** What the address says: run, machine, state, seq, panel. */
export function spot() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

/** Say something else in the address; null takes a word out. @param {Record<string, any>} words @param {boolean} [step] whether Back leads back */
export function go(words, step = false) {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const [key, value] of Object.entries(words)) {
    if (value === null || value === undefined) said.delete(key);
    else said.set(key, String(value));
  }
  const hash = `#${said}`;
  if (hash === location.hash) return;
  if (step) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
}

/** The machine of a tab: that of a followed run has the run's name before it. @param {string} tab */
export function machineOf(tab) {
  return tab?.slice(tab.indexOf("/") + 1);
}
