// Asks the backend every two seconds for the list of jobs and for what is new in the chosen one.

import { describeStatus, number, readTime, toneOf } from "./job_state.js";
import { clearLog, formatDuration, formatTime, make, showJob } from "./job_view.js";

const POLL_MS = 2000;
const REQUEST_TIMEOUT_MS = 10000;
const SECRET_KEY = "whispertrain-secret";

const find = (id) => document.getElementById(id);
const state = { chosen: null, numEvents: 0, events: [], timer: null, isAsking: false, isDue: false, jobs: [], items: new Map() };

class RefusedError extends Error {}

async function get(path) {
  const secret = sessionStorage.getItem(SECRET_KEY);
  // The backend takes either header; which of the two the reader holds is not the page's business.
  const headers = secret ? { Authorization: `Bearer ${secret}`, "X-Worker-Key": secret } : {};
  const response = await fetch(path, { headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  if (response.status === 401) throw new RefusedError();
  if (!response.ok) throw new Error(`the backend answered ${response.status}`);
  return response.json();
}

async function poll() {
  clearTimeout(state.timer);
  if (document.hidden) return;
  state.isDue = state.isAsking; // asked for while an answer is under way: once more after it
  if (state.isAsking) return;
  state.isAsking = true;
  try {
    await update();
    find("credentials").hidden = true;
    say(`Live · ${new Date().toLocaleTimeString()}`);
    state.timer = setTimeout(poll, POLL_MS);
  } catch (error) {
    recover(error);
  } finally {
    state.isAsking = false;
    if (state.isDue) poll();
  }
}

async function update() {
  const { jobs } = await get("/api/training/jobs");
  const asked = chosenFromAddress() ?? state.chosen ?? jobs[0]?.job_id ?? null;
  const isNew = asked !== state.chosen;
  if (isNew) choose(asked);
  state.jobs = jobs;
  showJobs();
  if (isNew) state.items.get(asked)?.scrollIntoView({ block: "nearest" });
  if (state.chosen !== null) await readOn(state.chosen);
}

async function readOn(jobId) {
  const answer = await get(`/api/training/progress/${encodeURIComponent(jobId)}?after=${state.numEvents}`);
  if (jobId !== state.chosen) return;
  state.numEvents = answer.num_events;
  state.events.push(...answer.events);
  // An event that came late goes where its sequence says; the sort is stable for those without one.
  state.events.sort((a, b) => (number(a.sequence) ?? 0) - (number(b.sequence) ?? 0));
  find("job").hidden = state.events.length === 0;
  if (state.events.length > 0) showJob(jobId, state.events, silenceOf(jobId));
}

// By the backend's clock; the browser's serves where the job is too old to be listed.
function silenceOf(jobId) {
  const listed = state.jobs.find((job) => job.job_id === jobId);
  return listed ? listed.silent_seconds : Math.max(0, (Date.now() - readTime(state.events.at(-1).timestamp)) / 1000);
}

function choose(jobId) {
  state.chosen = jobId;
  state.numEvents = 0;
  state.events = [];
  clearLog();
  find("job").hidden = true;
}

function recover(error) {
  if (error instanceof RefusedError) {
    const isRetry = sessionStorage.getItem(SECRET_KEY) !== null;
    sessionStorage.removeItem(SECRET_KEY);
    find("credentials").hidden = false;
    find("credentials-note").textContent = isRetry
      ? "The backend refused it. Try again."
      : "Kept in this tab only, until it is closed.";
    find("secret").focus();
    say("Credentials needed");
    return;
  }
  say(`No answer (${error.message}); trying again`);
  state.timer = setTimeout(poll, POLL_MS);
}

function say(words) {
  find("connection").textContent = words;
}

// Items are kept between polls: one that is replaced under the pointer or the focus loses the click.
function showJobs() {
  const sought = find("search").value.trim().toLowerCase();
  const jobs = state.jobs.filter((job) => `${job.job_id} ${job.base_model} ${describeStatus(job, job.silent_seconds)}`.toLowerCase().includes(sought));
  find("jobs-title").textContent = state.jobs.length > 1 ? `Jobs (${jobs.length === state.jobs.length ? "" : `${jobs.length} of `}${state.jobs.length})` : "Jobs";
  find("search").hidden = state.jobs.length < 2;
  find("no-jobs").hidden = jobs.length > 0;
  find("no-jobs").textContent = sought ? "No job has these words." : "No jobs yet. A job appears here with its first progress event.";
  const items = new Map(jobs.map((job) => [job.job_id, state.items.get(job.job_id) ?? makeJobItem(job.job_id)]));
  const isSameOrder = [...items.keys()].join("\n") === [...state.items.keys()].join("\n");
  state.items = items;
  if (!isSameOrder) find("jobs").replaceChildren(...items.values());
  for (const job of jobs) fillJobItem(items.get(job.job_id).firstChild, job);
}

function makeJobItem(jobId) {
  const bar = make("progress", { max: 100, value: 0, "aria-hidden": "true" });
  const button = make("button", { type: "button", class: "job-item" }, make("strong", { text: jobId }), make("span", { class: "status" }), make("span"), bar);
  button.addEventListener("click", () => {
    location.hash = new URLSearchParams({ job: jobId }).toString();
  });
  return make("li", {}, button);
}

function fillJobItem(button, job) {
  const [, status, about, bar] = button.children;
  const tone = toneOf(job.status, job.silent_seconds);
  const percent = number(job.progress_percent) ?? 0;
  button.setAttribute("aria-current", String(job.job_id === state.chosen));
  button.classList.remove("good", "bad", "warn", "stale", "running");
  button.classList.add(tone || "running");
  const words = describeStatus(job, job.silent_seconds);
  status.textContent = `${words}${tone === "" && percent > 0 ? ` · ${Math.floor(percent)} %` : ""} · ${formatDuration(job.silent_seconds, 1)} ago`;
  about.textContent = [`started ${formatTime(job.first_timestamp)}`, job.base_model].filter(Boolean).join(" · ");
  bar.hidden = tone !== "";
  bar.value = Math.min(100, Math.max(0, percent));
}

function chosenFromAddress() {
  return new URLSearchParams(location.hash.slice(1)).get("job");
}

find("credentials").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(SECRET_KEY, find("secret").value.trim());
  find("secret").value = "";
  poll();
});
find("search").addEventListener("input", showJobs);
window.addEventListener("hashchange", poll);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) say("Paused while hidden");
  poll();
});
poll();
