/**
 * Draws the map's points with WebGL: 100,000 of them in a millisecond or two.
 *
 * Written by hand because regl, on which the libraries for this stand, makes functions out of text, which the page's
 * Content-Security-Policy forbids. It knows nothing of sounds: points with a colour number and a state, and a view.
 */

import KDBush from "../vendor/kdbush.js";

/** How a point is shown. */
export const STATE = Object.freeze({ plain: 0, dim: 1, hit: 2, selected: 3 });

const VERTEX = `#version 300 es
in vec2 position;
in float colour;
in float state;
uniform vec2 scale;
uniform vec2 centre;
uniform float size;
uniform vec3 colours[12];
out vec4 fill;
void main() {
  gl_Position = vec4((position - centre) * scale, 0.0, 1.0);
  bool isHit = state > 1.5;
  gl_PointSize = size * (state > 2.5 ? 1.9 : isHit ? 1.6 : 1.0);
  vec3 own = colours[int(colour)];
  fill = state > 2.5 ? vec4(colours[11], 1.0) : isHit ? vec4(colours[10], 0.95) : vec4(own, state > 0.5 ? 0.22 : 0.8);
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 fill;
out vec4 shown;
void main() {
  float away = length(gl_PointCoord - 0.5) * 2.0;
  float edge = 1.0 - smoothstep(0.75, 1.0, away);
  if (edge <= 0.0) discard;
  shown = vec4(fill.rgb * fill.a * edge, fill.a * edge);
}`;

export class MapRenderer {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true, alpha: true, preserveDrawingBuffer: true });
    if (!gl) throw new Error("This browser has no WebGL2, which the map is drawn with. The list shows the same sounds.");
    this.canvas = canvas;
    this.gl = gl;
    this.program = programOf(gl);
    this.count = 0;
    this.centre = [0, 0];
    this.zoom = 0.92;
    this.xy = new Float32Array(0);
    this.positions = gl.createBuffer();
    this.colourNumbers = gl.createBuffer();
    this.states = gl.createBuffer();
    /** @type {KDBush | null} */
    this.tree = null;
    this.palette = new Float32Array(36);
    this.isAsked = false;
  }

  /** @param {Float32Array} xy Pairs from -1 to 1. @param {Uint8Array} colours 0 to 9, one a point. */
  setPoints(xy, colours) {
    this.count = colours.length;
    this.xy = xy;
    this.tree = new KDBush(Math.max(1, this.count), 64, Float32Array);
    for (let point = 0; point < this.count; point++) this.tree.add(xy[2 * point], xy[2 * point + 1]);
    if (!this.count) this.tree.add(9, 9);
    this.tree.finish();
    this.fill(this.positions, xy);
    this.fill(this.colourNumbers, colours);
    this.setStates(new Uint8Array(this.count));
  }

  /** @param {Uint8Array} colours The number of a colour, one a point. */
  setColourNumbers(colours) {
    this.fill(this.colourNumbers, colours);
    this.draw();
  }

  /** @param {Uint8Array} states Of `STATE`, one a point. */
  setStates(states) {
    this.fill(this.states, states);
    this.draw();
  }

  /** @param {WebGLBuffer | null} buffer @param {ArrayBufferView} data */
  fill(buffer, data) {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, /** @type {any} */ (data), gl.STATIC_DRAW);
  }

  /** @param {number[][]} colours Twelve of 0 to 255: ten of the points, one of hits, one of what is selected. */
  setColours(colours) {
    this.palette = new Float32Array(colours.flat().map((value) => value / 255));
    this.draw();
  }

  /** Pixels of one unit, the same in both directions. */
  get unit() {
    return (Math.min(this.canvas.clientWidth, this.canvas.clientHeight) / 2) * this.zoom;
  }

  /** Soon, and once however often it is asked for. */
  draw() {
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(() => {
      this.isAsked = false;
      this.drawNow();
    });
  }

  drawNow() {
    const { gl, canvas } = this;
    const density = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [Math.round(canvas.clientWidth * density), Math.round(canvas.clientHeight * density)];
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (!this.count) return;
    gl.useProgram(this.program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.bind("position", this.positions, 2, gl.FLOAT);
    this.bind("colour", this.colourNumbers, 1, gl.UNSIGNED_BYTE);
    this.bind("state", this.states, 1, gl.UNSIGNED_BYTE);
    const uniform = (/** @type {string} */ name) => gl.getUniformLocation(this.program, name);
    gl.uniform2f(uniform("scale"), (2 * this.unit) / canvas.clientWidth, (2 * this.unit) / canvas.clientHeight);
    gl.uniform2f(uniform("centre"), this.centre[0], this.centre[1]);
    gl.uniform3fv(uniform("colours"), this.palette);
    // Few points are large, many small; both grow with the page's type, and with the zoom, slower than it.
    const crowd = Math.max(2.2, Math.min(11, 260 / Math.sqrt(this.count)));
    const type = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
    gl.uniform1f(uniform("size"), density * type * crowd * Math.max(1, this.zoom) ** 0.4);
    gl.drawArrays(gl.POINTS, 0, this.count);
  }

  /** @param {string} name @param {WebGLBuffer | null} buffer @param {number} size @param {number} type */
  bind(name, buffer, size, type) {
    const { gl } = this;
    const place = gl.getAttribLocation(this.program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, type, false, 0, 0);
  }

  /** Where a place on the canvas lies in the map. @param {number} x @param {number} y CSS pixels. @returns {[number, number]} */
  toMap(x, y) {
    return [this.centre[0] + (x - this.canvas.clientWidth / 2) / this.unit, this.centre[1] - (y - this.canvas.clientHeight / 2) / this.unit];
  }

  /** Where a point lies on the canvas. @param {number} point @returns {[number, number]} CSS pixels. */
  toCanvas(point) {
    const [x, y] = [this.xy[2 * point], this.xy[2 * point + 1]];
    return [this.canvas.clientWidth / 2 + (x - this.centre[0]) * this.unit, this.canvas.clientHeight / 2 - (y - this.centre[1]) * this.unit];
  }

  /** Zoom so that what lies under the pointer stays there. @param {number} factor @param {number} x @param {number} y */
  zoomAt(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const before = this.toMap(x, y);
    this.zoom = Math.min(400, Math.max(0.5, this.zoom * factor));
    const after = this.toMap(x, y);
    this.centre = [this.centre[0] + before[0] - after[0], this.centre[1] + before[1] - after[1]];
    this.draw();
  }

  /** @param {number} dx @param {number} dy CSS pixels. */
  pan(dx, dy) {
    this.centre = [this.centre[0] - dx / this.unit, this.centre[1] + dy / this.unit];
    this.draw();
  }

  reset() {
    this.centre = [0, 0];
    this.zoom = 0.92;
    this.draw();
  }

  /** The nearest point within some pixels, or -1. @param {number} x @param {number} y @param {number} within */
  pick(x, y, within = 14) {
    if (!this.tree || !this.count) return -1;
    const [mapX, mapY] = this.toMap(x, y);
    let nearest = -1;
    let least = Infinity;
    for (const point of this.tree.within(mapX, mapY, within / this.unit)) {
      const away = (this.xy[2 * point] - mapX) ** 2 + (this.xy[2 * point + 1] - mapY) ** 2;
      if (away < least) [nearest, least] = [point, away];
    }
    return nearest;
  }

  /** The points inside a line drawn on the canvas. @param {[number, number][]} line CSS pixels. @returns {number[]} */
  inside(line) {
    if (!this.tree || line.length < 3 || !this.count) return [];
    const shape = line.map(([x, y]) => this.toMap(x, y));
    const xs = shape.map(([x]) => x);
    const ys = shape.map(([, y]) => y);
    return this.tree.range(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys))
      .filter((point) => contains(shape, this.xy[2 * point], this.xy[2 * point + 1]));
  }

  destroy() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

/** Whether a polygon contains a place: a ray from it crosses the line an odd number of times.
 *  @param {[number, number][]} shape @param {number} x @param {number} y */
export function contains(shape, x, y) {
  let isInside = false;
  for (let at = 0, before = shape.length - 1; at < shape.length; before = at++) {
    const [ax, ay] = shape[at];
    const [bx, by] = shape[before];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) isInside = !isInside;
  }
  return isInside;
}

/** @param {WebGL2RenderingContext} gl */
function programOf(gl) {
  const program = /** @type {WebGLProgram} */ (gl.createProgram());
  for (const [type, source] of /** @type {const} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]])) {
    const shader = /** @type {WebGLShader} */ (gl.createShader(type));
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(`The map's shader: ${gl.getShaderInfoLog(shader)}`);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  return program;
}
