"use strict";
// One picture of a case: three planes with contours, and surfaces.

// As NiiVue numbers its planes: the axes that run across and up.
const PLANES = [[0, 1, 2], [0, 2, 1], [1, 2, 0]];
const RENDER = 4;
// Plane, and its left, top, width and height as shares of a pane: of a wide one, and of a high one.
const WIDE = [[0, 0, 0, 0.498, 0.498], [1, 0.502, 0, 0.498, 0.498], [2, 0.502, 0.502, 0.498, 0.498], [RENDER, 0, 0.502, 0.498, 0.498]];
const HIGH = [[0, 0, 0, 1, 0.448], [1, 0, 0.452, 0.498, 0.272], [2, 0.502, 0.452, 0.498, 0.272], [RENDER, 0, 0.728, 1, 0.272]];
const HIGH_FROM = 1.2;
// Pixels of the page.
const LINE = 1.6;
const CROSS_LINE = 1;
const CROSS_GAP = 8;
const CROSS_COLOUR = "rgb(150 180 220 / 65%)";

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
      showAllOrientationMarkers: true,
      fontColor: [0.55, 0.75, 0.95, 1],
      show3Dcrosshair: false,
      crosshairWidth: 0, // it is drawn over the contours, a pixel wide at any zoom
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
    this.view.afterDrawing = () => this.drawn();
    new ResizeObserver(() => this.lay()).observe(this.section);
    this.lay();
  }

  lay() {
    const { clientWidth: width, clientHeight: height } = this.section;
    const layout = height > HIGH_FROM * width ? HIGH : WIDE;
    if (!width || layout === this.layout) return;
    this.layout = layout;
    this.view.setCustomLayout(layout.map(([sliceType, ...position]) => ({ sliceType, position })));
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
    this.setWindow = this.window;
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

  // Grey values that are black and white.
  get window() {
    const { cal_min: low, cal_max: high } = this.view.volumes[0];
    return { low, high };
  }

  set window({ low, high }) {
    Object.assign(this.view.volumes[0], { cal_min: low, cal_max: high });
    this.setWindow = this.window;
    this.view.updateGLVolume();
  }

  get windowWasDragged() {
    return this.window.low !== this.setWindow.low || this.window.high !== this.setWindow.high;
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
          const path = shown(task) && task[whose]?.layer === number && plane.contours.get(task[whose].value);
          if (!path) continue;
          const moved = new Path2D();
          moved.addPath(path, matrix);
          context.strokeStyle = task.colour;
          context.stroke(moved);
        }
      });
    }
    context.setLineDash([]);
    this.drawCross(context, matrix.transformPoint(new DOMPoint(this.at[across], this.at[up])), slice.leftTopWidthHeight);
    context.restore();
  }

  // Where the other two planes are.
  drawCross(context, { x, y }, [left, top, width, height]) {
    const scale = window.devicePixelRatio || 1;
    const gap = CROSS_GAP * scale;
    const [column, row] = [Math.floor(x) + 0.5, Math.floor(y) + 0.5];
    context.lineWidth = CROSS_LINE * scale;
    context.strokeStyle = CROSS_COLOUR;
    context.beginPath();
    for (const [x0, y0, x1, y1] of [
      [left, row, column - gap, row], [column + gap, row, left + width, row],
      [column, top, column, row - gap], [column, row + gap, column, top + height],
    ]) {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
    context.stroke();
  }

  drawFill(context, plane, whose, matrix) {
    if (!settings.fill) return;
    const colours = new Map();
    for (const task of this.scene.tasks) if (shown(task) && task[whose]) colours.set(task[whose].value, rgb(task.colour));
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

// A voxel of a value of a layer in its middle: that of the level with most of it that is nearest to the middle there.
function middleOf(layer, value, [width, height, depth]) {
  let best = { count: 0 };
  for (let z = 0, voxel = 0; z < depth; z++) {
    const level = { count: 0, x: 0, y: 0, z };
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, voxel++) {
        if (layer[voxel] !== value) continue;
        level.count++;
        level.x += x;
        level.y += y;
      }
    }
    if (level.count > best.count) best = level;
  }
  if (!best.count) return null;
  const [midX, midY] = [best.x / best.count, best.y / best.count];
  let nearest = { distance: Infinity };
  for (let y = 0, voxel = best.z * width * height; y < height; y++) {
    for (let x = 0; x < width; x++, voxel++) {
      const distance = (x - midX) ** 2 + (y - midY) ** 2;
      if (layer[voxel] === value && distance < nearest.distance) nearest = { distance, at: [x, y, best.z] };
    }
  }
  return nearest.at;
}
