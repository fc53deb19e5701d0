"use strict";
// Draws the cases of a server, or the one that the page holds itself. Names come from files: they are text, never markup.

const byId = (id) => document.getElementById(id);
// As NiiVue numbers its planes: the axes that run across and up.
const PLANES = [[0, 1, 2], [0, 2, 1], [1, 2, 0]];
const RENDER = 4;
const GRID = [[0, 0, 0], [1, 0.502, 0], [2, 0.502, 0.502], [RENDER, 0, 0.502]];
const SHARE = 0.498;
const SIDES = ["beside", "over", "without"];
const LINE = 1.6;

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

// ---- one picture: three planes with contours, and surfaces

class View extends niivue.Niivue {
  drawScene() {
    const said = super.drawScene();
    this.afterDrawing?.();
    return said;
  }

  // The image would hide the surfaces.
  drawImage3D() {}

  // With every mesh NiiVue would send the image to the graphics card again.
  updateGLVolume() {
    if (!this.changesMeshes) {
      super.updateGLVolume();
      return;
    }
    const farthest = this.meshes.map((mesh) => mesh.furthestVertexFromOrigin);
    this.furthestVertexFromOrigin = Math.max(this.furthestVertexFromOrigin, ...farthest);
    this.drawScene();
  }

  changeMeshes(change) {
    this.changesMeshes = true;
    try {
      change();
    } finally {
      this.changesMeshes = false;
    }
  }

  // In planes there are contours.
  drawMesh3D(isDepthTest, alpha, all, model, normal, isPlane) {
    if (!isPlane) super.drawMesh3D(isDepthTest, alpha, all, model, normal, isPlane);
  }
}

class Pane {
  constructor(id, onDrawn) {
    this.section = byId(id);
    this.image = this.section.querySelector("canvas.image");
    this.lines = this.section.querySelector("canvas.lines");
    this.onDrawn = onDrawn;
    this.meshes = new Map();
    this.whose = [];
    this.paths = new Map();
  }

  async begin() {
    this.view = new View({
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      isOrientCube: true,
      show3Dcrosshair: false,
      crosshairWidth: 0.25,
      crosshairWidthUnit: "percent",
      crosshairGap: 6,
      crosshairColor: [0.55, 0.65, 0.8, 0.5],
      isForceMouseClickToVoxelCenters: true,
      dragAndDropEnabled: false,
      clipPlaneHotKey: "",
      cycleClipPlaneHotKey: "",
      viewModeHotKey: "",
      logLevel: "error",
      loadingText: "",
    });
    await this.view.attachToCanvas(this.image);
    this.view.setRenderAzimuthElevation(160, 15);
    this.view.setCustomLayout(GRID.map(([sliceType, x, y]) => ({ sliceType, position: [x, y, SHARE, SHARE] })));
    this.view.afterDrawing = () => this.drawn();
  }

  // The image of a scene, under the layers of `whose`: [name, dashed] each.
  async show(scene, image, layers, whose) {
    const view = this.view;
    this.scene = null;
    view.changeMeshes(() => [...view.meshes].forEach((mesh) => view.removeMesh(mesh)));
    for (const volume of [...view.volumes]) view.removeVolume(volume);
    this.meshes.clear();
    this.paths.clear();
    await view.loadFromArrayBuffer(image.slice(0), "image.nii");
    this.layers = layers;
    this.whose = whose;
    this.scene = scene;
  }

  async addSurface(scene, task, mesh) {
    if (new DataView(mesh).getUint32(4, true) === 0) return;
    const made = await niivue.NVMesh.readMesh(mesh, "surface.mz3", this.view.gl, 1, new Uint8Array([...rgb(task.colour), 255]));
    if (this.scene !== scene) return;
    this.meshes.set(task, made);
    this.view.changeMeshes(() => this.view.addMesh(made));
  }

  // `at` is a voxel.
  goTo(at) {
    this.view.scene.crosshairPos = this.scene.shape.map((size, axis) => (at[axis] + 0.5) / size);
  }

  get at() {
    return this.scene.shape.map((size, axis) => clamped(Math.floor(this.view.scene.crosshairPos[axis] * size), size));
  }

  drawn() {
    if (!this.scene || !this.view.volumes.length) return;
    this.drawLines();
    this.onDrawn(this);
  }

  drawLines() {
    const { lines, image, view } = this;
    if (lines.width !== image.width || lines.height !== image.height) [lines.width, lines.height] = [image.width, image.height];
    const context = lines.getContext("2d");
    context.clearRect(0, 0, lines.width, lines.height);
    view.screenSlices.forEach((slice, tile) => {
      if (slice.axCorSag < RENDER) this.drawPlane(context, slice, tile);
    });
  }

  drawPlane(context, slice, tile) {
    const [across, up, through] = PLANES[slice.axCorSag];
    const [left, top, width, height] = slice.leftTopWidthHeight;
    const { shape } = this.scene;
    const voxelAt = (x, y) => {
      const place = this.view.screenXY2TextureFrac(left + x * width, top + y * height, tile, false);
      return [place[across] * shape[across] - 0.5, place[up] * shape[up] - 0.5];
    };
    const [x0, y0] = voxelAt(0.25, 0.25);
    const [x1, y1] = voxelAt(0.75, 0.75);
    const [scaleX, scaleY] = [(0.5 * width) / (x1 - x0), (0.5 * height) / (y1 - y0)];
    const matrix = new DOMMatrix([
      scaleX, 0, 0, scaleY, left + 0.25 * width - x0 * scaleX, top + 0.25 * height - y0 * scaleY,
    ]);
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    for (const [whose, dashed] of this.whose) {
      this.layers[whose].forEach((layer, number) => {
        const plane = this.planeOf(`${whose}/${number}`, layer, [across, up, through], this.at[through]);
        this.drawFill(context, plane, whose, matrix);
        context.lineWidth = LINE * (window.devicePixelRatio || 1);
        context.setLineDash(dashed ? [5, 4] : []);
        for (const task of this.scene.tasks) {
          const path = shown(task) && task[whose].layer === number && plane.contours.get(task[whose].value);
          if (!path) continue;
          const moved = new Path2D();
          moved.addPath(path, matrix);
          context.strokeStyle = task.colour;
          context.stroke(moved);
        }
      });
    }
    context.restore();
  }

  drawFill(context, plane, whose, matrix) {
    if (!settings.fill) return;
    const colours = new Map();
    for (const task of this.scene.tasks) if (shown(task)) colours.set(task[whose].value, rgb(task.colour));
    const filledWith = JSON.stringify([...colours]);
    if (plane.filledWith !== filledWith) Object.assign(plane, { filledWith, filled: filledPlane(plane, colours) });
    context.save();
    context.globalAlpha = settings.fill;
    context.imageSmoothingEnabled = false;
    context.transform(matrix.a, 0, 0, matrix.d, matrix.e, matrix.f);
    context.drawImage(plane.filled, -0.5, -0.5);
    context.restore();
  }

  // Values of a plane of a layer, and the contours of each value; of every layer and direction the last one is kept.
  planeOf(name, layer, [across, up, through], level) {
    const key = `${name}/${through}`;
    const kept = this.paths.get(key);
    if (kept && kept.level === level) return kept;
    const { shape } = this.scene;
    const steps = [1, shape[0], shape[0] * shape[1]];
    const [width, height] = [shape[across], shape[up]];
    const values = new layer.constructor(width * height);
    for (let y = 0; y < height; y++) {
      let voxel = level * steps[through] + y * steps[up];
      for (let x = 0; x < width; x++, voxel += steps[across]) values[y * width + x] = layer[voxel];
    }
    const made = { level, width, height, values, contours: contoursOf(values, width, height) };
    this.paths.set(key, made);
    return made;
  }
}

// A picture of a plane, a pixel a voxel, in which the values that have one have their colour.
function filledPlane(plane, colours) {
  const pixels = new ImageData(plane.width, plane.height);
  plane.values.forEach((value, place) => {
    const colour = value && colours.get(value);
    if (colour) pixels.data.set([...colour, 255], 4 * place);
  });
  const canvas = new OffscreenCanvas(plane.width, plane.height);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

// Marching squares around each value: cells between the centres of four voxels, with background around the plane.
function contoursOf(values, width, height) {
  const contours = new Map();
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : values[y * width + x]);
  for (let y = -1; y < height; y++) {
    for (let x = -1; x < width; x++) {
      const corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)];
      if (corners[0] === corners[1] && corners[1] === corners[2] && corners[2] === corners[3]) continue;
      const middles = [[x + 0.5, y], [x + 1, y + 0.5], [x + 0.5, y + 1], [x, y + 0.5]];
      for (const value of new Set(corners)) {
        if (!value) continue;
        if (!contours.has(value)) contours.set(value, new Path2D());
        const path = contours.get(value);
        // Sides of the cell where the value begins or ends; of four, the two around each corner that has it.
        const inside = corners.map((corner) => corner === value);
        const crossed = [0, 1, 2, 3].filter((side) => inside[side] !== inside[(side + 1) % 4]);
        const ends = crossed.length === 2 ? [crossed] : inside[0] ? [[3, 0], [1, 2]] : [[0, 1], [2, 3]];
        for (const [from, to] of ends) {
          path.moveTo(...middles[from]);
          path.lineTo(...middles[to]);
        }
      }
    }
  }
  return contours;
}

// ---- what a person has chosen; the address says it too

const settings = { hidden: new Set(), fill: 0.2, surfaces: 1, sides: SIDES[0] };
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
    case: cases[current].name,
    at: panes[0].at.join(","),
    turn: [drawn.renderAzimuth, drawn.renderElevation, drawn.volScaleMultiplier].map((n) => +n.toFixed(2)).join(","),
    pan: [...drawn.pan2Dxyzmm].map((n) => +n.toFixed(2)).join(","),
    fill: settings.fill,
    surfaces: settings.surfaces,
    sides: settings.sides,
  });
  for (const name of settings.hidden) parts.append("hide", name);
  return `#${parts}`;
}

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
  byId("fill").value = settings.fill;
  byId("surfaces").value = settings.surfaces;
  const found = cases.findIndex((one) => one.name === parts.get("case"));
  return {
    number: Math.max(found, 0),
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
  current = number;
  scene = null;
  document.body.dataset.state = "loading";
  [...byId("cases").children].forEach((link, place) => link.classList.toggle("shown", place === number));
  byId("cases").children[number]?.scrollIntoView({ block: "nearest" });
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
  byId("notes").replaceChildren(...opened.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
  panes[0].kept = { opened, image, layers };
  scene = opened;
  listTasks();
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
  panes[0].view.resizeListener();
  if (beside) panes[1].view.resizeListener();
}

async function addSurfaces(number, opened, mine) {
  for (const [place, task] of opened.tasks.entries()) {
    for (const pane of panes) {
      if (!pane.scene) continue;
      const whose = pane.whose[0][0];
      if (!task[whose].volume_ml) continue;
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
  const value = pane.view.volumes[0].getValue(...at);
  byId("place").textContent = `voxel ${at.join(" ")}   RAS ${mm.map((n) => n.toFixed(1)).join(" ")} mm   value ${kilo(value)}`;
  clearTimeout(hashTimer);
  hashTimer = setTimeout(() => scene && history.replaceState(null, "", address()), 150);
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
    row.querySelector(".name").addEventListener("dblclick", () => toggle(scene.tasks.filter((other) => other !== task), false));
    return row;
  }));
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
};

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
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
  byId("all").addEventListener("click", () => scene && toggle(scene.tasks, true));
  byId("none").addEventListener("click", () => scene && toggle(scene.tasks, false));
  for (const name of ["fill", "surfaces"]) byId(name).addEventListener("input", (event) => set(name, +event.target.value));
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
  const from = restored();
  await open(from.number, from);
}

start();
