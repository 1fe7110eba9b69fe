// One job on the page. Everything that comes from events is set as text, never as markup.

import { Chart } from "./chart.js";
import { number, readFacts, readJob, readRates, readSteps, readTime, text, toneOf, wordsOf } from "./job_state.js";

const EVENTS_SHOWN = 200;
const SILENT_SECONDS = 60;

const find = (id) => document.getElementById(id);

/** A new element with text, attributes and children. */
export function make(name, { text: content, ...attributes } = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (content !== undefined) node.textContent = content;
  node.append(...children);
  return node;
}

const charts = {
  loss: new Chart(find("loss-chart"), { label: "Loss", format: formatShort }),
  rate: new Chart(find("rate-chart"), { label: "Learning rate", format: formatShort }),
};

/** Show a job's events, in sequence. */
export function showJob(jobId, events) {
  const job = readJob(events);
  find("job-title").textContent = jobId;
  find("job-about").textContent = [
    job.baseModel, job.firstTime && `started ${formatTime(job.firstTime)}`, job.resumes && `resumed ${job.resumes} ×`,
  ].filter(Boolean).join(" · ");
  showBadge(find("job-badge"), job.status);
  showText("job-error", job.error);
  showSteps(job);
  showPace(job);
  showRates(job);
  charts.loss.update([
    { name: "training", className: "first", points: job.loss },
    { name: "evaluation", className: "second", points: job.evalLoss },
  ], job.xName);
  charts.rate.update([{ name: "learning rate", className: "first", points: job.rates }], job.xName);
  showMachine(job.stats);
  showWarnings(job.warnings);
  showEpochs(job.epochs);
  showFacts(job);
  showLog(events);
}

/** Write a job's status into a badge. */
export function showBadge(badge, status) {
  badge.textContent = wordsOf(status ?? "unknown");
  badge.className = `badge ${toneOf(status)}`;
}

function showText(id, content) {
  const node = find(id);
  node.hidden = content === null;
  if (node.textContent !== (content ?? "")) node.textContent = content ?? "";
}

function showSteps(job) {
  find("steps").replaceChildren(...readSteps(job).map(({ name, state, note }) => {
    const item = make("li", { class: state, text: name }, make("small", { text: note }));
    if (state === "current" || state === "stopped") item.setAttribute("aria-current", "step");
    return item;
  }));
}

function showPace(job) {
  const bar = find("progress");
  bar.value = job.percent ?? 0;
  find("progress-percent").textContent = job.percent === null ? "–" : `${formatFixed(job.percent, 1)} %`;
  showFigures("pace", [
    ["Epoch", job.epoch && `${formatShort(job.epoch)} of ${job.totalEpochs ?? "?"}`],
    ["Step", job.step && `${job.step} of ${job.totalSteps ?? "?"}`],
    ["Time left", job.etaSeconds !== null && formatDuration(job.etaSeconds)],
    ["Elapsed", formatDuration((readTime(job.lastTime) - readTime(job.firstTime)) / 1000)],
    ["Audio trained", job.audioSpeed !== null && `${formatFixed(job.audioSpeed, 1)} s per second`],
    ["Gradient norm", job.gradNorm !== null && formatShort(job.gradNorm)],
    ["Learning rate", job.learningRate !== null && formatShort(job.learningRate)],
    ["Checkpoints", job.checkpoints],
    ["Downloads", describeDownload(job.download)],
    ["Last event", describeSilence(job)],
  ]);
}

function describeDownload(download) {
  if (download === null) return null;
  const done = number(download.num_files_done);
  if (done === null) return null;
  const failed = number(download.num_files_failed);
  const bytes = number(download.num_bytes);
  return [
    `${done} of ${number(download.num_files) ?? "?"} files`, failed && `${failed} failed`, bytes && `${formatFixed(bytes / 1e6, 1)} MB`,
  ].filter(Boolean).join(", ");
}

function describeSilence(job) {
  const seconds = (Date.now() - readTime(job.lastTime)) / 1000;
  return toneOf(job.status) === "" && seconds > SILENT_SECONDS ? `${formatDuration(seconds)} ago` : null;
}

function showFigures(id, figures) {
  const shown = figures.filter(([, value]) => value !== null && value !== false && value !== 0 && value !== undefined);
  find(id).replaceChildren(...shown.map(([name, value]) => (
    make("div", {}, make("dt", { text: name }), make("dd", { text: String(value) }))
  )));
  return shown.length;
}

function showRates(job) {
  const rates = readRates(job);
  find("evaluation").hidden = rates.length === 0;
  find("rates").replaceChildren(...rates.map(({ name, before, after }) => {
    const values = make("p", { class: "rate-values" });
    values.append(make("span", { class: "rate-before", text: formatPercent(before) }), " → ");
    values.append(make("span", { class: "rate-after", text: formatPercent(after) }));
    return make("div", {}, make("p", { class: "note", text: name }), values, makeChange(before, after));
  }));
  const example = job.evaluation.example ?? {};
  const lines = [["Captions", example.reference], ["Base model", example.before], ["Trained model", example.after]];
  find("example").replaceChildren(...lines.filter(([, words]) => text(words) !== null).flatMap(([name, words]) => (
    [make("dt", { text: name }), make("dd", { text: words })]
  )));
}

function makeChange(before, after) {
  if (before === null || after === null) return make("p", { class: "note", text: "Not measured on both sides." });
  if (before === after) return make("p", { class: "rate-change", text: "unchanged" });
  const relative = before === 0 ? "" : ` (${formatFixed((Math.abs(after - before) / before) * 100, 1)} % relative)`;
  const points = `${formatFixed(Math.abs(after - before) * 100, 1)} points`;
  return after < before
    ? make("p", { class: "rate-change good", text: `▼ better by ${points}${relative}` })
    : make("p", { class: "rate-change bad", text: `▲ worse by ${points}${relative}` });
}

function showMachine(stats) {
  const total = number(stats.gpu_memory_total_mb);
  const meters = [
    ["Processor", number(stats.cpu_percent)],
    ["Memory", number(stats.memory_percent)],
    ["Disk", number(stats.disk_usage_percent)],
  ].filter(([, percent]) => percent !== null).map(([name, percent]) => makeMeter(name, percent, `${formatFixed(percent, 0)} %`));
  for (const [name, used] of [["allocated", stats.gpu_memory_allocated_mb], ["reserved", stats.gpu_memory_reserved_mb]]) {
    if (number(used) === null || !total) continue;
    meters.push(makeMeter(`GPU memory ${name}`, (used / total) * 100, `${formatFixed(used, 0)} of ${formatFixed(total, 0)} MB`));
  }
  if (stats.gpu_available === false) meters.push(make("p", { class: "note", text: "No GPU." }));
  find("machine").replaceChildren(...(meters.length > 0 ? meters : [make("p", { class: "note", text: "Not reported yet." })]));
}

function makeMeter(name, percent, words) {
  const bar = make("progress", { max: 100, value: Math.min(100, Math.max(0, percent)), "aria-label": `${name} ${words}` });
  return make("div", {}, make("p", { class: "meter-label" }, make("span", { text: name }), make("span", { text: words })), bar);
}

function showWarnings(warnings) {
  find("warnings").hidden = warnings.length === 0;
  find("warning-list").replaceChildren(...warnings.map((warning) => make("li", { text: warning })));
}

function showEpochs(epochs) {
  find("epochs").hidden = epochs.length === 0;
  find("epoch-rows").replaceChildren(...epochs.map((row) => make(
    "tr", {}, make("th", { scope: "row", text: formatShort(row.epoch) }),
    make("td", { text: formatShort(row.trainLoss) }),
    make("td", { text: formatShort(row.evalLoss) }),
    make("td", { text: formatPercent(row.evalWer) }),
    make("td", { text: formatShort(row.learningRate) }),
    make("td", { text: formatDuration(row.seconds) }),
  )));
}

function showFacts(job) {
  const count = showFigures("facts", [
    ["model parameters", job.parameters?.toLocaleString("en")],
    ["training windows", job.trainSamples?.toLocaleString("en")],
    ["evaluation windows", job.evalSamples?.toLocaleString("en")],
    ["training time", job.runtime && formatDuration(job.runtime)],
    ...readFacts(job).map(([name, value]) => [wordsOf(name), typeof value === "number" ? formatShort(value) : value]),
    ["model", job.modelPath],
  ]);
  find("facts-card").hidden = count === 0;
}

let logged = { events: [], nodes: new Map() };

/** Start the log anew: the next events belong to another job. */
export function clearLog() {
  logged = { events: [], nodes: new Map() };
  find("log").replaceChildren();
}

// Nodes are kept between polls, so an event that the reader opened stays open.
function showLog(events) {
  const shown = events.slice(-EVENTS_SHOWN).reverse();
  const nodes = new Map(shown.map((event) => [event, logged.nodes.get(event) ?? makeLogItem(event)]));
  const isSame = shown.length === logged.events.length && shown.every((event, index) => event === logged.events[index]);
  logged = { events: shown, nodes };
  if (!isSame) find("log").replaceChildren(...nodes.values());
  find("log-note").textContent = `${events.length} received${events.length > shown.length ? `, the last ${shown.length} shown` : ""}.`;
}

function makeLogItem(event) {
  const details = make("details", {}, make(
    "summary", {},
    make("time", { datetime: event.timestamp, text: formatTime(event.timestamp) }),
    make("b", { text: wordsOf(event.status) }),
    make("span", { class: "brief", text: brief(event) }),
  ));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(make("pre", { text: JSON.stringify(event, null, 2) }));
  });
  return make("li", {}, details);
}

function brief(event) {
  const hidden = ["status", "timestamp", "event_id", "sequence", "job_id", "traceback"];
  return Object.entries(event)
    .filter(([name, value]) => !hidden.includes(name) && (typeof value !== "object" || value === null))
    .map(([name, value]) => `${wordsOf(name)} ${typeof value === "number" ? formatShort(value) : value}`)
    .join(", ");
}

function formatFixed(value, digits) {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function formatShort(value) {
  if (value === null) return "–";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(2).replace(/\.?0+e/, "e");
  return value.toLocaleString("en", Math.abs(value) < 1000 ? { maximumSignificantDigits: 4 } : { maximumFractionDigits: 1 });
}

function formatPercent(fraction) {
  return fraction === null ? "–" : `${formatFixed(fraction * 100, 1)} %`;
}

function formatDuration(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function formatTime(timestamp) {
  const time = new Date(readTime(timestamp));
  if (Number.isNaN(time.getTime())) return String(timestamp);
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? time.toLocaleTimeString() : time.toLocaleString();
}
