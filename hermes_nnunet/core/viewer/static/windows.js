"use strict";
// The window of grey values: one that the scene names, or a person's own.

const sameWindow = (a, b) => Math.abs(a.low - b.low) + Math.abs(a.high - b.high) <= 1e-5 * Math.abs(a.high - a.low);
const isOwn = (window) => window?.low !== undefined;
const named = (window) => scene.windows.find((one) => sameWindow(one, window))?.name;

function wantedWindow() {
  const { window } = settings;
  return (isOwn(window) ? window : scene.windows.find(({ name }) => name === window)) ?? scene.windows[0];
}

// As the address has it.
function windowInWords() {
  const { low, high } = panes[0].window;
  return named({ low, high }) ?? `${+low.toPrecision(6)},${+high.toPrecision(6)}`;
}

function windowOf(words) {
  const [low, high] = numbersOf(words, 2) ?? [];
  return low < high ? { low, high } : words;
}

function listWindows() {
  byId("windows").hidden = !scene.windows.length;
  byId("window").replaceChildren(...scene.windows.map(({ name }) => new Option(name)), new Option("own", ""));
}

function showWindow() {
  if (!scene.windows.length) return;
  const wanted = wantedWindow();
  for (const pane of panes) if (pane.scene && !sameWindow(pane.window, wanted)) pane.window = wanted;
  byId("window").value = named(wanted) ?? "";
  byId("width").value = +(wanted.high - wanted.low).toPrecision(4);
  byId("level").value = +((wanted.low + wanted.high) / 2).toPrecision(4);
}

function setWindow(window) {
  if (!scene?.windows.length) return;
  settings.window = window;
  showWindow();
  panes[0].view.drawScene();
}

function typedWindow() {
  const [width, level] = [+byId("width").value, +byId("level").value];
  if (width > 0) setWindow({ low: level - width / 2, high: level + width / 2 });
}

function nextWindow() {
  if (!scene?.windows.length) return;
  const place = scene.windows.findIndex((one) => sameWindow(one, panes[0].window));
  setWindow(scene.windows[(place + 1) % scene.windows.length].name);
}

// A right drag in a pane has made another.
function followWindow(pane) {
  if (!scene.windows.length || !pane.windowWasDragged) return;
  const { low, high } = pane.window;
  settings.window = named({ low, high }) ?? { low, high };
  pane.window = { low, high };
  showWindow();
}
