"use strict";
// Draws the cases of a server, or the one that the page holds itself. Names come from files: they are text, never markup.

const byId = (id) => document.getElementById(id);
const SIDES = ["beside", "over", "without"];
// More of them are searched for.
const SOME = 12;

// ---- where the data are

const embedded = byId("embedded") && JSON.parse(byId("embedded").textContent);

async function fetched(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.text()) || `${answer.status} ${answer.statusText}`);
  return answer;
}

async function listOfCases() {
  return embedded ? [{ name: embedded.scene.name, dice: null }] : (await fetched("cases")).json();
}

async function sceneOf(number) {
  return embedded ? embedded.scene : (await fetched(`case/${number}`)).json();
}

async function partOf(number, name) {
  if (!embedded) return (await fetched(`case/${number}/${name}`)).arrayBuffer();
  const packed = Uint8Array.from(atob(embedded.parts[name]), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

// ---- what a person has chosen; the address says it too

// The window is a name that the scene has, or {low, high}; null is the scene's first.
const settings = { hidden: new Set(), fill: 0.2, surfaces: 1, sides: SIDES[0], window: null };
const shown = (task) => !settings.hidden.has(task.name);
const rgb = (colour) => [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
const clamped = (place, size) => Math.max(0, Math.min(size - 1, place));
const kilo = (number) => number.toLocaleString("en", { maximumSignificantDigits: 4 });

let cases = [];
let current = -1;
let scene = null;
let loading = 0;
let panes = [];
let hashTimer = 0;

function address() {
  const { scene: drawn } = panes[0].view;
  const parts = new URLSearchParams({
    case: wellFormed(cases[current].name),
    at: panes[0].at.join(","),
    turn: [drawn.renderAzimuth, drawn.renderElevation, drawn.volScaleMultiplier].map((n) => +n.toFixed(2)).join(","),
    pan: [...drawn.pan2Dxyzmm].map((n) => +n.toFixed(2)).join(","),
    fill: settings.fill,
    surfaces: settings.surfaces,
    sides: settings.sides,
    window: windowInWords(),
  });
  const seen = scene.tasks.filter(shown);
  if (seen.length < scene.tasks.length / 2) for (const name of seen.length ? seen.map((task) => task.name) : [""]) parts.append("only", name);
  else for (const name of settings.hidden) parts.append("hide", name);
  return `#${parts}`;
}

// As an address can hold it: of file names that are not Unicode it has only what is.
const wellFormed = (name) => name.toWellFormed?.() ?? name;

function numbersOf(words, count) {
  const numbers = (words ?? "").split(",").map(Number);
  return numbers.length === count && numbers.every(Number.isFinite) ? numbers : null;
}

function restored() {
  const parts = new URLSearchParams(location.hash.slice(1));
  settings.hidden = new Set(parts.getAll("hide"));
  const share = (name, before) => (parts.has(name) ? Math.max(0, Math.min(1, +parts.get(name) || 0)) : before);
  settings.fill = share("fill", settings.fill);
  settings.surfaces = share("surfaces", settings.surfaces);
  if (SIDES.includes(parts.get("sides"))) settings.sides = parts.get("sides");
  settings.window = windowOf(parts.get("window"));
  byId("fill").value = settings.fill;
  byId("surfaces").value = settings.surfaces;
  const found = cases.findIndex((one) => wellFormed(one.name) === parts.get("case"));
  return {
    number: Math.max(found, 0),
    only: parts.has("only") ? parts.getAll("only") : null,
    at: numbersOf(parts.get("at"), 3),
    turn: numbersOf(parts.get("turn"), 3),
    pan: numbersOf(parts.get("pan"), 4),
  };
}

// ---- the page

// One change of the pictures after another: the contours of a case must never lie on the image of the next.
let turn = Promise.resolve();
function inTurn(mine, work) {
  turn = turn.catch(() => {}).then(() => (mine === loading ? work() : undefined));
  return turn;
}

async function open(number, from = {}) {
  if (number < 0 || number >= cases.length) return;
  const mine = ++loading;
  // A window of one's own is of one image.
  if (number !== current && isOwn(settings.window) && current >= 0) settings.window = null;
  current = number;
  scene = null;
  document.body.dataset.state = "loading";
  const links = byId("cases").querySelectorAll("a");
  links.forEach((link, place) => link.classList.toggle("shown", place === number));
  links[number]?.scrollIntoView({ block: "nearest" });
  byId("title").textContent = cases[number].name;
  document.title = cases[number].name;
  say("loading ...");
  try {
    const opened = await sceneOf(number);
    const image = await partOf(number, "image");
    const layers = {};
    const Values = opened.bytes === 1 ? Uint8Array : Uint16Array;
    for (const [whose, count] of Object.entries(opened.layers)) {
      layers[whose] = [];
      for (let layer = 0; layer < count; layer++) {
        layers[whose].push(new Values(await partOf(number, `${whose}/layer/${layer}`)));
      }
    }
    await inTurn(mine, () => show(opened, image, layers, from));
    if (mine !== loading) return;
    document.body.dataset.state = "shown";
    await addSurfaces(number, opened, mine);
    if (mine === loading) document.body.dataset.state = "complete";
  } catch (error) {
    if (mine !== loading) return;
    say(error.message);
    document.body.dataset.state = "failed";
  }
}

async function show(opened, image, layers, from) {
  const both = "reference" in opened.layers;
  document.body.classList.toggle("no-reference", !both);
  document.body.classList.toggle("no-dice", opened.tasks.every((task) => task.dice === null));
  document.body.classList.toggle("no-expected", opened.tasks.every((task) => task.expected === null));
  byId("sides").hidden = !both;
  byId("findtask").hidden = opened.tasks.length <= SOME;
  byId("notes").replaceChildren(...opened.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
  panes[0].kept = { opened, image, layers };
  scene = opened;
  if (from.only) settings.hidden = new Set(opened.tasks.map((task) => task.name).filter((name) => !from.only.includes(name)));
  listTasks();
  listWindows();
  await arrange(from.at ?? opened.start);
  if (from.turn) [panes[0].view.scene.renderAzimuth, panes[0].view.scene.renderElevation, panes[0].view.scene.volScaleMultiplier] = from.turn;
  if (from.pan) panes[0].view.scene.pan2Dxyzmm = from.pan;
  say("");
  panes[0].view.drawScene();
}

// Fills the panes as `settings.sides` says; surfaces are added afterwards.
async function arrange(at) {
  const { opened, image, layers } = panes[0].kept;
  const both = "reference" in opened.layers;
  const beside = both && settings.sides === "beside";
  byId("sides").textContent = `reference: ${settings.sides}`;
  panes[1].section.hidden = !beside;
  panes[0].section.querySelector("b").textContent = beside ? "prediction" : both && settings.sides === "over" ? "prediction, reference dashed" : "";
  panes[1].section.querySelector("b").textContent = "reference";
  if (beside && !panes[1].view) await panes[1].begin();
  await panes[0].show(opened, image, layers, both && settings.sides === "over" ? [["prediction", false], ["reference", true]] : [["prediction", false]]);
  panes[0].goTo(at.map((place, axis) => clamped(Math.round(place), opened.shape[axis])));
  if (beside) await panes[1].show(opened, image, layers, [["reference", false]]);
  else panes[1].scene = null;
  showWindow();
  panes[0].view.resizeListener();
  if (beside) panes[1].view.resizeListener();
}

async function addSurfaces(number, opened, mine) {
  for (const [place, task] of opened.tasks.entries()) {
    for (const pane of panes) {
      if (!pane.scene) continue;
      const whose = pane.whose[0][0];
      if (!task[whose]?.volume_ml) continue;
      const mesh = await partOf(number, `${whose}/surface/${place}`);
      if (mine !== loading || pane.scene !== opened) return;
      await pane.addSurface(opened, task, mesh);
    }
  }
  updateSurfaces();
}

function updateSurfaces() {
  for (const pane of panes) {
    if (!pane.scene) continue;
    for (const [task, mesh] of pane.meshes) {
      mesh.visible = shown(task) && settings.surfaces > 0;
      mesh.opacity = settings.surfaces;
    }
    pane.view.drawScene();
  }
}

// Both panes show the same place: the one that was drawn leads, unless the other has just led it.
let following = false;
function drawn(pane) {
  if (following) return;
  for (const other of panes) {
    if (other === pane || !other.scene) continue;
    const [from, to] = [pane.view.scene, other.view.scene];
    to.crosshairPos = from.crosshairPos.slice();
    to.pan2Dxyzmm = from.pan2Dxyzmm.slice();
    [to.renderAzimuth, to.renderElevation, to.volScaleMultiplier] = [from.renderAzimuth, from.renderElevation, from.volScaleMultiplier];
    following = true;
    try {
      other.view.drawScene();
    } finally {
      following = false;
    }
  }
  if (!scene || !pane.view.volumes.length) return; // between two cases
  const at = pane.at;
  const mm = scene.affine.slice(0, 3).map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]);
  byId("place").textContent = [
    `voxel ${at.join(" ")}`,
    `RAS ${mm.map((n) => n.toFixed(1)).join(" ")} mm`,
    ...(scene.windows.length ? [`value ${kilo(pane.view.volumes[0].getValue(...at))}`] : []),
    ...tasksAt(at),
  ].join("   ");
  followWindow(pane);
  clearTimeout(hashTimer);
  hashTimer = setTimeout(() => scene && history.replaceState(null, "", address()), 150);
}

// Names of the tasks of the prediction at a voxel.
function tasksAt([x, y, z]) {
  const { layers } = panes[0].kept;
  const voxel = x + scene.shape[0] * (y + scene.shape[1] * z);
  return scene.tasks.filter(({ prediction }) => layers.prediction[prediction.layer][voxel] === prediction.value).map((task) => task.name);
}

// ---- the tasks

function goToTask(task) {
  const { prediction, reference } = task;
  const [whose, place] = prediction.volume_ml || !reference ? ["prediction", prediction] : ["reference", reference];
  const at = middleOf(panes[0].kept.layers[whose][place.layer], place.value, scene.shape);
  if (!at) return;
  panes[0].goTo(at);
  panes[0].view.drawScene();
}

function expectedOf({ expected }) {
  if (!expected) return "";
  const spread = expected.deviation === null ? "" : ` ± ${expected.deviation.toFixed(2)}`;
  return expected.mean.toFixed(2) + spread + (expected.cases === null ? "" : ` (${expected.cases})`);
}

function listTasks() {
  byId("tasks").replaceChildren(...scene.tasks.map((task) => {
    const row = document.createElement("tr");
    const cell = (text, kind) => Object.assign(row.insertCell(), { textContent: text, className: kind });
    const swatch = cell("", "swatch");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: shown(task) });
    box.addEventListener("change", () => toggle([task], box.checked));
    const colour = document.createElement("i");
    colour.style.background = task.colour;
    swatch.append(box, " ", colour);
    // Long names break where a word ends.
    cell("", "name").append(...task.name.split(/(?<=[/_])/).flatMap((part) => [part, document.createElement("wbr")]));
    cell(kilo(task.prediction.volume_ml), "number");
    cell(task.reference ? kilo(task.reference.volume_ml) : "", "number of-reference");
    cell(task.dice === null ? "" : task.dice.toFixed(3), "number of-dice");
    cell(expectedOf(task), "number of-expected");
    row.classList.toggle("absent", !task.prediction.volume_ml && !task.reference?.volume_ml);
    row.hidden = !matches(task.name, byId("findtask").value);
    row.querySelector(".name").addEventListener("click", () => goToTask(task));
    row.querySelector(".name").addEventListener("dblclick", () => only(task));
    return row;
  }));
}

const matches = (name, words) => name.toLowerCase().includes(words.trim().toLowerCase());
const listedTasks = () => scene.tasks.filter((task) => matches(task.name, byId("findtask").value));

function only(task) {
  settings.hidden = new Set(scene.tasks.filter((other) => other !== task).map((other) => other.name));
  listTasks();
  updateSurfaces();
}

function toggle(tasks, on) {
  for (const task of tasks) settings.hidden[on ? "delete" : "add"](task.name);
  listTasks();
  updateSurfaces();
}

function set(name, value) {
  settings[name] = value;
  byId(name).value = value;
  updateSurfaces();
}

async function nextSides() {
  if (!scene || !("reference" in scene.layers)) return;
  settings.sides = SIDES[(SIDES.indexOf(settings.sides) + 1) % SIDES.length];
  const mine = ++loading;
  document.body.dataset.state = "shown";
  const at = panes[0].at;
  await inTurn(mine, async () => {
    await arrange(at);
    panes[0].view.drawScene();
  });
  await addSurfaces(current, scene, mine);
  if (mine === loading) document.body.dataset.state = "complete";
}

function findCases() {
  [...byId("cases").querySelectorAll("a")].forEach((link, number) => { link.hidden = !matches(cases[number].name, byId("findcase").value); });
}

function say(text) {
  byId("message").hidden = !text;
  byId("message").textContent = text;
}

const KEYS = {
  n: () => open(current + 1),
  p: () => open(current - 1),
  r: nextSides,
  f: () => set("fill", settings.fill ? 0 : 0.2),
  s: () => set("surfaces", settings.surfaces ? 0 : 1),
  t: () => scene && toggle(scene.tasks, settings.hidden.size > 0),
  w: nextWindow,
};

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const writing = event.target.matches?.("input[type=search], input[type=number]");
  if (writing && event.key !== "Escape") return;
  if (writing) event.target.blur();
  const task = /^[1-9]$/.test(event.key) && scene?.tasks[event.key - 1];
  if (task) toggle([task], !shown(task));
  else if (Object.hasOwn(KEYS, event.key)) KEYS[event.key]();
  else return;
  event.preventDefault();
}

async function start() {
  panes = [new Pane("prediction", drawn), new Pane("reference", drawn)];
  byId("previous").addEventListener("click", KEYS.p);
  byId("next").addEventListener("click", KEYS.n);
  byId("sides").addEventListener("click", nextSides);
  byId("all").addEventListener("click", () => scene && toggle(listedTasks(), true));
  byId("none").addEventListener("click", () => scene && toggle(listedTasks(), false));
  for (const name of ["fill", "surfaces"]) byId(name).addEventListener("input", (event) => set(name, +event.target.value));
  byId("window").addEventListener("change", () => setWindow(byId("window").value || panes[0].window));
  for (const name of ["width", "level"]) byId(name).addEventListener("change", typedWindow);
  byId("findtask").addEventListener("input", () => scene && listTasks());
  byId("findcase").addEventListener("input", findCases);
  byId("link").addEventListener("click", async () => {
    history.replaceState(null, "", address());
    await navigator.clipboard?.writeText(location.href);
    byId("link").textContent = navigator.clipboard ? "copied" : "copy the address above";
    setTimeout(() => { byId("link").textContent = "copy link"; }, 1500);
  });
  document.addEventListener("keydown", pressed);
  try {
    if (!document.createElement("canvas").getContext("webgl2")) throw new Error("This browser has no WebGL2: open the page in another, or switch on hardware acceleration.");
    await panes[0].begin();
    cases = await listOfCases();
  } catch (error) {
    say(error.message);
    document.body.dataset.state = "failed";
    return;
  }
  if (cases.length > 1) {
    byId("cases").append(...cases.map((one, number) => {
      const link = Object.assign(document.createElement("a"), { href: "#", textContent: one.name });
      const dice = document.createElement("small");
      dice.textContent = one.dice === null ? "" : one.dice.toFixed(3);
      link.append(dice);
      link.addEventListener("click", (event) => { event.preventDefault(); open(number); });
      return link;
    }));
  }
  byId("previous").hidden = byId("next").hidden = cases.length < 2;
  byId("findcase").hidden = cases.length <= SOME;
  const from = restored();
  await open(from.number, from);
}

start();
