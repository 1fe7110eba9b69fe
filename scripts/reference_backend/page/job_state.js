// What a job's events add up to. Plain data in, plain data out: nothing here touches the page.

/** The stepper: each step with the statuses and the stages of `stage_progress` that belong to it, in the order of a run. */
export const STEPS = [
  { name: "Start", statuses: ["initializing"] },
  { name: "Load model", statuses: ["loading_model", "model_loaded"] },
  {
    name: "Prepare data", statuses: ["preparing_dataset", "download_progress", "dataset_ready"],
    stages: ["load_model", "download", "align", "prepare", "check_labels"],
  },
  { name: "Test base model", statuses: ["base_evaluated"], stages: ["evaluate_before", "long_form_before"] },
  {
    name: "Train",
    statuses: [
      "starting_training", "resumed", "training_started", "epoch_started", "training_progress",
      "epoch_completed", "checkpoint_saved", "training_completed",
    ],
    stages: ["train"],
  },
  { name: "Test trained model", statuses: ["evaluation_completed"], stages: ["evaluate_after", "long_form_after"] },
  { name: "Publish", statuses: ["saving_model"], stages: ["publish"] },
  { name: "Done", statuses: ["completed"] },
];

const TASKS = {
  align: "finding the times of words",
  prepare: "cutting windows",
  "check labels": "comparing captions with the sound",
  "transcribe validation": "transcribing the validation part",
  "transcribe test": "transcribing the test part",
  "transcribe whole": "transcribing whole recordings",
  "transcribe cuts": "transcribing cuts of 30 seconds",
  "select weights": "choosing the weights",
  deliver: "copying the model",
};

const ENDINGS = { completed: "good", failed: "bad", cancelled: "warn", interrupted: "warn" };

/** Seconds without an event after which a running job is stale: all long work of a worker tells every few seconds. */
export const STALE_SECONDS = 300;

/** How a status is shown: "good", "bad", "warn", "stale", or "" while the job runs. */
export function toneOf(status, silentSeconds = 0) {
  return ENDINGS[status] ?? (silentSeconds > STALE_SECONDS ? "stale" : "");
}

function stepOf({ status, stage }) {
  return STEPS.findIndex(({ statuses, stages }) => (status === "stage_progress" ? stages?.includes(stage) : statuses.includes(status)));
}

/** What a job does or how it ended, as words; `stage` is that of `stage_progress`. */
export function describeStatus({ status, stage }, silentSeconds) {
  const tone = toneOf(status, silentSeconds);
  if (tone === "stale") return "no word";
  return tone === "" ? (STEPS[stepOf({ status, stage })]?.name ?? wordsOf(status ?? "unknown")) : wordsOf(status);
}

/** A status as words. */
export function wordsOf(status) {
  return String(status).replaceAll("_", " ");
}

/** The value where it is a finite number, else null: events are other people's data. */
export function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** The value where it is text that is not blank, else null. */
export function text(value) {
  return typeof value === "string" && value.trim() !== "" ? value : null;
}

/** Milliseconds since 1970 of an ISO 8601 time; without an offset it is UTC, where a browser would take it as local. */
export function readTime(timestamp) {
  return Date.parse(/[zZ]|[+-]\d\d:?\d\d$/.test(timestamp) ? timestamp : `${timestamp}Z`);
}

function object(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
}

/** Fold a job's events, in sequence, into what the page shows. */
export function readJob(events) {
  const job = {
    status: null, stage: null, firstTime: null, lastTime: null, baseModel: null, eta: null, task: null, step: null,
    totalSteps: null, epoch: null, totalEpochs: null, audioSpeed: null, stats: {}, download: null,
    evaluation: {}, baseWer: null, dataset: {}, samples: {}, configuration: {}, parameters: null,
    runtime: null, modelPath: null, reportPath: null, error: null, warnings: [], epochs: [], checkpoints: 0, resumes: 0,
    loss: [], evalLoss: [], wer: [], current: -1, seen: new Set(),
  };
  for (const event of events) fold(job, object(event));
  job.xName = job.loss.length > 0 || job.totalSteps !== null ? "update" : "epoch";
  const pointsOf = (name) => job.epochs.filter((row) => row[name] !== null).map((row) => [positionOf(job, row), row[name]]);
  job.evalLoss = pointsOf("evalLoss");
  job.wer = [...(job.baseWer === null ? [] : [[0, job.baseWer]]), ...pointsOf("evalWer")];
  if (job.loss.length === 0) job.loss = pointsOf("trainLoss");
  return job;
}

function fold(job, event) {
  job.status = event.status;
  job.stage = event.stage;
  job.firstTime ??= event.timestamp;
  job.lastTime = event.timestamp;
  job.error = null; // what goes on after a failure has not failed
  const step = stepOf(event);
  if (step >= 0 && step !== job.current) {
    job.current = step;
    job.task = null;
  }
  if (step >= 0) job.seen.add(step);
  if (event.status in ENDINGS) job.eta = null;
  if (Object.keys(object(event.system_stats)).length > 0) job.stats = event.system_stats;
  for (const warning of [event.warning, ...[event.warnings ?? []].flat()]) addWarning(job, warning);
  readers[event.status]?.(job, event);
}

function addWarning(job, warning) {
  const sentence = text(warning);
  if (sentence !== null && !job.warnings.includes(sentence)) job.warnings.push(sentence);
}

const readers = {
  initializing(job, event) {
    job.baseModel = text(event.base_model) ?? job.baseModel;
    job.totalEpochs = number(event.epochs) ?? job.totalEpochs;
  },
  model_loaded(job, event) {
    job.parameters = number(event.model_parameters);
  },
  download_progress(job, event) {
    job.download = event;
    job.task = makeTask("downloading", number(event.num_files_done), number(event.num_files), "file");
  },
  stage_progress(job, event) {
    const name = TASKS[event.task] ?? wordsOf(event.task);
    job.task = { ...makeTask(name, number(event.num_done), number(event.num_total), event.unit), etaSeconds: number(event.eta_seconds) };
    foldEta(job, event);
  },
  dataset_ready(job, event) {
    job.samples = event;
    job.dataset = object(event.dataset);
  },
  base_evaluated(job, event) {
    const { validation, test } = event;
    job.baseWer = number(object(validation).wer_normalized);
    for (const [name, value] of Object.entries(object(test))) job.evaluation[`${name}_before`] = value;
  },
  starting_training(job, event) {
    job.configuration = object(event.configuration);
    job.totalSteps = number(job.configuration.max_steps) ?? job.totalSteps;
  },
  resumed(job) {
    job.resumes += 1;
    job.eta = null;
  },
  epoch_started: foldPace,
  training_progress(job, event) {
    foldPace(job, event);
    const metrics = object(event.metrics);
    const step = number(event.step);
    if (step === null) return;
    addPoint(job.loss, step, number(metrics.loss));
    job.audioSpeed = number(metrics.audio_seconds_per_second ?? event.audio_seconds_per_second) ?? job.audioSpeed;
  },
  epoch_completed(job, event) {
    foldPace(job, event);
    const metrics = object(event.metrics);
    const row = {
      epoch: number(event.epoch),
      step: number(event.step),
      trainLoss: number(metrics.train_loss),
      evalLoss: number(metrics.eval_loss),
      evalWer: number(metrics.eval_wer_normalized) ?? number(metrics.eval_wer),
      learningRate: number(metrics.learning_rate),
      seconds: number(metrics.epoch_time_seconds),
    };
    job.epochs = [...job.epochs.filter(({ epoch }) => epoch < row.epoch), row]; // a resume may repeat one
  },
  checkpoint_saved(job) {
    job.checkpoints += 1;
  },
  training_completed(job, event) {
    job.runtime = number(event.train_runtime);
  },
  evaluation_completed(job, event) {
    job.evaluation = { ...job.evaluation, ...event, ...object(event.metrics), ...object(event.evaluation) };
  },
  completed(job, event) {
    const result = object(event.final_result);
    job.evaluation = { ...job.evaluation, ...object(result.evaluation) };
    job.dataset = { ...job.dataset, ...object(result.dataset) };
    job.modelPath = text(object(result.artifacts).model_path);
    job.reportPath = text(object(result.artifacts).report_path);
    for (const warning of [result.warnings ?? []].flat()) addWarning(job, warning);
  },
  failed(job, event) {
    job.error = text(event.error) ?? "The job failed without a reason.";
  },
  interrupted(job, event) {
    job.error = text(event.error);
  },
};

function makeTask(name, done, total, unit) {
  return { name, done, total, unit, percent: done !== null && total ? Math.min(100, (done / total) * 100) : null, etaSeconds: null };
}

function foldPace(job, event) {
  job.step = number(event.step) ?? job.step;
  job.totalSteps = number(event.total_steps) ?? job.totalSteps;
  job.epoch = number(event.epoch) ?? job.epoch;
  job.totalEpochs = number(event.total_epochs) ?? job.totalEpochs;
  job.task = { ...makeTask("", job.step, job.totalSteps, "update"), percent: number(event.progress_percent) };
  foldEta(job, event);
}

// The old worker tells the time left of training only.
function foldEta(job, event) {
  const seconds = number(event.job_eta_seconds);
  const ofTraining = event.status === "stage_progress" ? null : number(event.eta_seconds ?? object(event.metrics).eta_seconds);
  if (seconds !== null) job.eta = { seconds, isOfJob: true, time: event.timestamp };
  else if (ofTraining !== null) job.eta = { seconds: ofTraining, isOfJob: false, time: event.timestamp };
}

/** Seconds left by the newest estimate, at the time of the newest event; null if there is none. */
export function readEta({ eta, lastTime }) {
  return eta && Math.max(0, eta.seconds - (readTime(lastTime) - readTime(eta.time)) / 1000);
}

// After a resume training goes on from an earlier step: the points behind it are replaced.
function addPoint(points, x, y) {
  if (y === null) return;
  while (points.length > 0 && points.at(-1)[0] >= x) points.pop();
  points.push([x, y]);
}

// An epoch's place on the axis: its own step if it says so, else its share of all steps.
function positionOf(job, { epoch, step }) {
  if (job.xName === "epoch") return epoch;
  if (step !== null) return step;
  return Math.round((epoch / (job.totalEpochs || epoch || 1)) * (job.totalSteps ?? job.loss.at(-1)?.[0] ?? 0));
}

const HOUR_MS = 3600000;

/** What is known of the setup and the data, as [name, value]; null where it is not. */
export function readFacts({ configuration, dataset, samples, parameters }) {
  const hours = (milliseconds) => number(milliseconds) && milliseconds / HOUR_MS;
  const hasParts = number(samples.validation_samples) !== null;
  return [
    ["Passes over the data (epochs)", configuration.epochs],
    ["Windows at once (batch size)", configuration.batch_size],
    ["Highest learning rate", configuration.learning_rate],
    ["Updates of the weights", configuration.max_steps],
    ["Parameters of the model", parameters],
    ["Recordings", dataset.num_recordings],
    ["Recordings skipped", object(dataset.recordings_by_outcome).skipped],
    ["Hours of audio", dataset.audio_hours],
    ["Hours of speech", hours(dataset.speech_ms)],
    ["Words", dataset.num_words],
    ["Windows trained", samples.train_samples],
    ["Windows to choose by (validation)", samples.validation_samples],
    ["Windows to measure on (test)", samples.test_samples],
    ["Windows held out", hasParts ? null : samples.eval_samples],
    ["Windows left out as faulty", dataset.num_faulty_windows],
    ["Windows left out as suspect", dataset.num_excluded_suspect_windows],
  ].map(([name, value]) => [name, number(value)]);
}

/** Each step of the stepper with its state ("done", "current", "stopped", "skipped" or "") and a note. */
export function readSteps(job, silentSeconds = 0) {
  const tone = toneOf(job.status, silentSeconds);
  return STEPS.map(({ name }, index) => {
    if (index > job.current) return { name, state: "", note: "" };
    if (index < job.current) return job.seen.has(index) ? { name, state: "done", note: "" } : { name, state: "skipped", note: "left out" };
    const note = job.task?.percent == null ? "" : `${Math.floor(job.task.percent)} %`;
    if (tone === "good") return { name, state: "done", note: "" };
    if (tone === "") return { name, state: "current", note };
    return { name, state: "stopped", note: describeStatus(job, silentSeconds) };
  });
}

/** The task in words, such as "transcribing the test part: 35 of 120 windows"; "" if nothing is counted. */
export function describeTask({ task }) {
  if (task?.percent == null || task.total === null) return "";
  const count = task.unit === "B"
    ? `${(task.done / 1e6).toFixed(0)} of ${(task.total / 1e6).toFixed(0)} MB`
    : `${task.done} of ${task.total} ${task.unit}${task.total === 1 ? "" : "s"}`;
  return task.name ? `${task.name}: ${count}` : count;
}

/** The title of the tab: how far the job is, then its name. */
export function readTitle(job, jobId, silentSeconds = 0) {
  const isCounted = toneOf(job.status, silentSeconds) === "" && job.task?.percent != null;
  return `${isCounted ? `${Math.floor(job.task.percent)} % ` : ""}${describeStatus(job, silentSeconds)} · ${jobId}`;
}

const RATES = {
  wer_normalized: "Words wrong (WER; case and punctuation do not count)",
  wer: "Words wrong as written (WER)",
  cer_normalized: "Letters wrong (CER; case and punctuation do not count)",
  cer: "Letters wrong as written (CER)",
};

/** Word and character error rates before and after, as fractions; only those that were measured. */
export function readRates({ evaluation }) {
  return Object.entries(RATES)
    .map(([key, name]) => ({
      name,
      before: number(evaluation[`${key}_before`]),
      after: number(evaluation[`${key}_after`]),
    }))
    .filter(({ before, after }) => before !== null || after !== null);
}

const SMOOTHING = 0.9;
const MIN_POINTS_SMOOTHED = 10;

/** The points as an exponential moving average, not biased towards the first; fewer than ten stay as they are. */
export function smooth(points) {
  if (points.length < MIN_POINTS_SMOOTHED) return points;
  let [sum, weight] = [0, 0];
  return points.map(([x, y]) => {
    sum = SMOOTHING * sum + (1 - SMOOTHING) * y;
    weight = SMOOTHING * weight + (1 - SMOOTHING);
    return [x, sum / weight];
  });
}

const MAX_WORDS_COMPARED = 500;

// A word with what follows it up to the next one; in any script.
function splitWords(content) {
  const words = [];
  for (const { segment, isWordLike } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(content)) {
    if (isWordLike || words.length === 0) words.push({ key: segment.normalize("NFC").toLowerCase(), text: segment });
    else words.at(-1).text += segment;
  }
  return words;
}

/** What a model wrote against the reference: [{kind, text}], kind "equal", "insert" (not said) or "delete" (not written). */
export function markDifferences(reference, hypothesis) {
  const [said, written] = [splitWords(reference), splitWords(hypothesis)];
  if (Math.max(said.length, written.length) > MAX_WORDS_COMPARED) return [{ kind: "equal", text: hypothesis }];
  // common[i][j]: length of the longest common subsequence of said from i on and written from j on.
  const common = Array.from({ length: said.length + 1 }, () => new Array(written.length + 1).fill(0));
  for (let i = said.length - 1; i >= 0; i--) {
    for (let j = written.length - 1; j >= 0; j--) {
      common[i][j] = said[i].key === written[j].key ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const parts = [];
  const add = (kind, content) => (parts.at(-1)?.kind === kind ? (parts.at(-1).text += content) : parts.push({ kind, text: content }));
  let [i, j] = [0, 0];
  while (i < said.length || j < written.length) {
    if (i < said.length && j < written.length && said[i].key === written[j].key) {
      add("equal", written[j++].text);
      i++;
    } else if (j === written.length || (i < said.length && common[i + 1][j] >= common[i][j + 1])) add("delete", said[i++].text);
    else add("insert", written[j++].text);
  }
  return parts;
}
