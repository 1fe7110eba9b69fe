// A line chart in SVG: axes, a legend, and a cursor that pointer and arrow keys move from value to value.
// uPlot would be 50 KB to keep here, and keys, labels for screen readers and both themes about 100 lines beside it.

const HEIGHT = 220;
const MARGIN = { top: 10, right: 12, bottom: 38, left: 56 };
const SVG = "http://www.w3.org/2000/svg";

export class Chart {
  /**
   * @param {HTMLElement} host element that the chart fills
   * @param {{label: string, format: (value: number) => string}} options what the chart shows, to a screen reader; how a value is written
   */
  constructor(host, { label, format }) {
    this.label = label;
    this.format = format;
    this.series = [];
    this.xName = "update";
    this.cursor = null;
    this.legend = document.createElement("p");
    this.legend.className = "legend";
    this.svg = draw("svg", { height: HEIGHT, role: "img", tabindex: 0 });
    host.replaceChildren(this.legend, this.svg);
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    this.svg.addEventListener("pointerleave", () => this.#moveTo(null));
    this.svg.addEventListener("blur", () => this.#moveTo(null));
    this.svg.addEventListener("keydown", (event) => this.#step(event));
    new ResizeObserver(() => this.#render()).observe(host);
  }

  /** Show other series: `[{name, className, points: [[x, y], …]}]`, x rising and named `xName`; without a name it is not read out. */
  update(series, xName) {
    this.series = series.filter(({ points }) => points.length > 0);
    this.xName = xName;
    this.xs = [...new Set(this.series.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
    if (!this.xs.includes(this.cursor)) this.cursor = null;
    this.#render();
  }

  #render() {
    const width = this.svg.clientWidth;
    this.svg.replaceChildren();
    this.svg.setAttribute("aria-label", this.#describe());
    if (width === 0) return;
    if (this.series.length === 0) return;
    const values = this.series.flatMap(({ points }) => points.map(([, y]) => y));
    const yTicks = niceTicks(Math.min(0, minimum(values)), maximum(values), 4);
    const xTicks = niceTicks(Math.min(0, this.xs[0]), this.xs.at(-1), Math.max(2, Math.floor(width / 110)));
    this.x = scale([xTicks[0], this.xs.at(-1)], [MARGIN.left, width - MARGIN.right]);
    this.y = scale([yTicks[0], yTicks.at(-1)], [HEIGHT - MARGIN.bottom, MARGIN.top]);
    this.#drawAxes(xTicks, yTicks, width);
    for (const line of this.series) this.#drawSeries(line);
    this.#moveTo(this.cursor);
  }

  #drawAxes(xTicks, yTicks, width) {
    for (const value of yTicks) {
      const y = this.y(value);
      this.#add("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y });
      this.#add("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, this.format(value));
    }
    for (const value of xTicks.filter((tick) => tick <= this.xs.at(-1))) {
      this.#add("text", { x: this.x(value), y: HEIGHT - MARGIN.bottom + 18, "text-anchor": "middle" }, `${value}`);
    }
    const middle = (MARGIN.left + width - MARGIN.right) / 2;
    this.#add("text", { x: middle, y: HEIGHT - 4, "text-anchor": "middle" }, this.xName);
  }

  #drawSeries({ points, className }) {
    const path = points.map(([x, y]) => `${this.x(x).toFixed(1)},${this.y(y).toFixed(1)}`).join(" ");
    this.#add("polyline", { class: `series-line ${className}`, points: path });
    if (points.length > 30 || className === "faint") return;
    for (const [x, y] of points) this.#add("circle", { class: className, cx: this.x(x), cy: this.y(y), r: 3 });
  }

  #moveTo(x) {
    this.cursor = x;
    this.svg.querySelector(".mark")?.remove();
    this.legend.replaceChildren();
    if (this.series.length === 0) return;
    const at = x ?? this.xs.at(-1);
    this.legend.append(`${this.xName} ${at}`);
    const mark = draw("g", { class: "mark" });
    if (x !== null) {
      mark.append(draw("line", { class: "cursor", x1: this.x(x), x2: this.x(x), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }));
    }
    for (const { name, className, points } of this.series.filter((line) => line.name)) {
      const point = x === null ? points.at(-1) : nearest(points, x);
      const key = document.createElement("span");
      key.className = `key ${className}`;
      key.textContent = `${name} ${this.format(point[1])}`;
      this.legend.append(" ", key);
      if (x !== null) mark.append(draw("circle", { class: className, cx: this.x(point[0]), cy: this.y(point[1]), r: 5 }));
    }
    this.svg.append(mark);
  }

  #point(event) {
    if (this.series.length === 0) return;
    const left = event.clientX - this.svg.getBoundingClientRect().left;
    const x = this.xs.reduce((best, value) => (Math.abs(this.x(value) - left) < Math.abs(this.x(best) - left) ? value : best));
    this.#moveTo(x);
  }

  #step(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    if (!(event.key in moves) || this.series.length === 0) return;
    event.preventDefault();
    const last = this.xs.length - 1;
    const from = this.cursor === null ? last : this.xs.indexOf(this.cursor);
    this.#moveTo(this.xs[Math.min(last, Math.max(0, from + moves[event.key]))]);
    this.svg.setAttribute("aria-label", this.legend.textContent);
  }

  #describe() {
    const parts = this.series.filter(({ name }) => name).map(({ name, points }) => {
      const [first, last] = [points[0], points.at(-1)];
      return `${name} from ${this.format(first[1])} to ${this.format(last[1])} at ${this.xName} ${last[0]}`;
    });
    return `${this.label}: ${parts.join("; ")}. Arrow keys read the values.`;
  }

  #add(name, attributes, text = "") {
    this.svg.append(draw(name, attributes, text));
  }
}

function draw(name, attributes, text = "") {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

function scale([from, to], [start, end]) {
  const span = to - from || 1;
  return (value) => start + ((value - from) / span) * (end - start);
}

function nearest(points, x) {
  return points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));
}

// Not Math.min(...values): thousands of arguments overflow the stack.
function minimum(values) {
  return values.reduce((a, b) => Math.min(a, b));
}

function maximum(values) {
  return values.reduce((a, b) => Math.max(a, b));
}

/** Round values (1, 2 or 5 times a power of ten) that cover the range in about `count` steps. */
function niceTicks(low, high, count) {
  const rough = (high - low || Math.abs(high) || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}
