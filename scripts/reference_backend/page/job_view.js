// One job on the page. Everything that comes from events is set as text, never as markup.

import { Chart } from "./chart.js";
import {
  describeStatus, describeTask, markDifferences, number, readEta, readFacts, readJob, readRates, readSteps, readTime, readTitle, smooth, STEPS, text, toneOf, wordsOf,
} from "./job_state.js";

const EVENTS_SHOWN = 200;
const QUIET_SECONDS = 20;

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
  wer: new Chart(find("wer-chart"), { label: "Words wrong", format: formatPercent }),
};

/** Show a job's events, in sequence; the newest came `silentSeconds` ago. */
export function showJob(jobId, events, silentSeconds) {
  const job = readJob(events);
  document.title = readTitle(job, jobId, silentSeconds);
  find("job-title").textContent = jobId;
  find("job-about").textContent = [
    job.baseModel, job.firstTime && `started ${formatTime(job.firstTime)}`, job.resumes && `resumed ${job.resumes} ×`,
  ].filter(Boolean).join(" · ");
  find("job-badge").textContent = describeStatus(job, silentSeconds);
  find("job-badge").className = `badge ${toneOf(job.status, silentSeconds)}`;
  showMessage(job, silentSeconds);
  showSteps(job, silentSeconds);
  showPace(job, silentSeconds);
  showRates(job);
  showChart("loss", [
    { className: "faint", points: job.loss },
    { name: job.loss.length > 1 ? "training, smoothed" : "training", className: "first", points: smooth(job.loss) },
    { name: "validation", className: "second", points: job.evalLoss },
  ], job.xName);
  showChart("wer", [{ name: "validation part", className: "first", points: job.wer }], job.xName);
  showMachine(job.stats);
  showWarnings(job.warnings.filter((warning) => warning !== job.evaluation.comparison?.sentence));
  showEpochs(job.epochs);
  showFacts(job);
  showLog(events);
}

function showChart(name, series, xName) {
  find(`${name}-card`).hidden = series.every(({ points }) => points.length === 0);
  charts[name].update(series, xName);
}

// What went wrong, before all else; set only when it changes, since a screen reader reads it out.
function showMessage(job, silentSeconds) {
  const tone = toneOf(job.status, silentSeconds);
  const step = STEPS[job.current]?.name.toLowerCase();
  const words = {
    bad: `Failed${step ? ` at “${step}”` : ""}: ${job.error}`,
    warn: [`The job was ${wordsOf(job.status)}${step ? ` at “${step}”` : ""}.`, job.error].filter(Boolean).join(" "),
    stale: `This job has told nothing for ${formatDuration(silentSeconds)}; it may have been stopped. The worker's log tells, and the same job sent again goes on from its last checkpoint.`,
  }[tone] ?? "";
  const node = find("job-message");
  node.hidden = words === "";
  node.className = `message ${tone}`;
  if (node.textContent !== words) node.textContent = words;
}

function showSteps(job, silentSeconds) {
  const tone = toneOf(job.status, silentSeconds);
  find("steps").replaceChildren(...readSteps(job, silentSeconds).map(({ name, state, note }) => {
    const item = make("li", { class: `${state} ${tone}`, text: name }, make("small", { text: note }));
    if (state === "current" || state === "stopped") item.setAttribute("aria-current", "step");
    return item;
  }));
}

function showPace(job, silentSeconds) {
  const isRunning = toneOf(job.status, silentSeconds) === "";
  const percent = job.task?.percent ?? null;
  find("progress-line").hidden = !isRunning || percent === null;
  find("progress").value = percent ?? 0;
  find("progress-percent").textContent = percent === null ? "" : `${formatFixed(percent, 1)} %`;
  find("task").textContent = isRunning ? `${STEPS[job.current]?.name ?? ""}${describeTask(job) && ` · ${describeTask(job)}`}` : "";
  showFigures("pace", [
    ...(isRunning ? [describeTimeLeft(job)] : []),
    [isRunning ? "Running for" : "Ran for", formatDuration((readTime(job.lastTime) - readTime(job.firstTime)) / 1000 + (isRunning ? silentSeconds : 0))],
    ["Passes over the data", job.epoch && `${formatFixed(job.epoch, job.epoch % 1 ? 2 : 0)} of ${job.totalEpochs ?? "?"}`],
    ["Speed of training", job.audioSpeed !== null && `${formatFixed(job.audioSpeed, 1)} s of audio a second`],
    ["Checkpoints saved", job.checkpoints],
    ["Downloaded", describeDownload(job.download)],
    ["Last news", isRunning && silentSeconds > QUIET_SECONDS && `${formatDuration(silentSeconds)} ago`],
  ]);
}

function describeTimeLeft(job) {
  const seconds = readEta(job);
  if (seconds !== null) return [job.eta.isOfJob ? "Time left" : "Training left", seconds > 0 ? `about ${formatDuration(seconds)}` : "nearly done"];
  const ofTask = job.task?.etaSeconds ?? null;
  return ["This step", ofTask !== null && `about ${formatDuration(ofTask)} left`];
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

function showFigures(id, figures) {
  const shown = figures.filter(([, value]) => value !== null && value !== false && value !== 0 && value !== undefined);
  find(id).replaceChildren(...shown.map(([name, value]) => (
    make("div", {}, make("dt", { text: name }), make("dd", { text: String(value) }))
  )));
  return shown.length;
}

function showRates(job) {
  const rates = readRates(job);
  const verdict = text(job.evaluation.comparison?.verdict) ?? "better";
  find("evaluation").hidden = rates.length === 0;
  find("sentence").textContent = text(job.evaluation.comparison?.sentence) ?? "";
  find("rates").replaceChildren(...rates.map(({ name, before, after }) => {
    const values = make("p", { class: "rate-values" });
    if (before !== null) values.append(make("span", { class: "rate-before", text: formatPercent(before) }));
    if (before !== null && after !== null) values.append(" → ");
    if (after !== null) values.append(make("span", { class: "rate-after", text: formatPercent(after) }));
    return make("div", {}, make("p", { class: "note", text: name }), values, makeChange(before, after, verdict));
  }));
  showExample(job.evaluation.example ?? {});
}

function showExample({ reference, before, after }) {
  const said = text(reference);
  const lines = [["Base model", before], ["Trained model", after]].filter(([, words]) => typeof words === "string");
  find("example").replaceChildren();
  if (said === null || lines.length === 0) return;
  find("example").append(make("dt", { text: "Captions" }), make("dd", { text: said }));
  for (const [name, words] of lines) {
    const tags = { equal: "span", insert: "ins", delete: "del" };
    const parts = markDifferences(said, words).map(({ kind, text: content }) => make(tags[kind], { text: content }));
    find("example").append(make("dt", { text: name }), make("dd", {}, ...parts));
  }
}

// Where the difference may be chance, no figure is called better or worse.
function makeChange(before, after, verdict) {
  if (after === null) return make("p", { class: "note", text: "The base model, before training." });
  if (before === null) return make("p", { class: "note", text: "The base model was not measured." });
  if (before === after) return make("p", { class: "rate-change", text: "unchanged" });
  const relative = before === 0 ? "" : ` (${formatFixed((Math.abs(after - before) / before) * 100, 1)} % relative)`;
  const points = `${formatFixed(Math.abs(after - before) * 100, 1)} points`;
  if (!["better", "worse"].includes(verdict)) {
    return make("p", { class: "note", text: `${after < before ? "▼ lower" : "▲ higher"} by ${points}${relative}; it may be chance` });
  }
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
  const used = number(stats.gpu_memory_reserved_mb);
  if (used !== null && total) meters.push(makeMeter("GPU memory", (used / total) * 100, `${formatFixed(used / 1024, 1)} of ${formatFixed(total / 1024, 1)} GiB`));
  if (stats.gpu_available === false) meters.push(make("p", { class: "note", text: "No GPU." }));
  find("machine-card").hidden = meters.length === 0;
  find("machine").replaceChildren(...meters);
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
    ...readFacts(job).map(([name, value]) => [name, value && formatShort(value)]),
    ["Training took", job.runtime && formatDuration(job.runtime)],
    ["The model is in", job.modelPath],
    ["The report is in", job.reportPath?.replace(/json$/, "html")],
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

/** Seconds as people say them, in so many units. */
export function formatDuration(seconds, numUnits = 2) {
  if (seconds === null || !Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].slice(whole >= 3600 ? 0 : 2);
  const first = units.findIndex(([size]) => whole >= size);
  if (first < 0) return "0 s";
  return units.slice(first, first + numUnits)
    .map(([size, name], index) => [Math.floor((index === 0 ? whole : whole % units[first][0]) / size), name])
    .filter(([count]) => count > 0).map(([count, name]) => `${count} ${name}`).join(" ");
}

/** A time of day, with the date if it is not today. */
export function formatTime(timestamp) {
  const time = new Date(readTime(timestamp));
  if (Number.isNaN(time.getTime())) return String(timestamp);
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? time.toLocaleTimeString() : time.toLocaleString();
}
