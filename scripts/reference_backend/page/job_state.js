// What a job's events add up to. Plain data in, plain data out: nothing here touches the page.

/** The stepper: each step with the contract's statuses that belong to it, in the order of a run. */
export const STEPS = [
  { name: "Start", statuses: ["initializing"] },
  { name: "Load model", statuses: ["loading_model", "model_loaded"] },
  { name: "Prepare data", statuses: ["preparing_dataset", "download_progress", "dataset_ready"] },
  {
    name: "Train",
    statuses: [
      "starting_training", "resumed", "training_started", "epoch_started", "training_progress",
      "epoch_completed", "checkpoint_saved", "training_completed",
    ],
  },
  { name: "Evaluate", statuses: ["evaluation_completed"] },
  { name: "Save", statuses: ["saving_model"] },
  { name: "Complete", statuses: ["completed"] },
];

const ENDINGS = { completed: "good", failed: "bad", cancelled: "warn", interrupted: "warn" };

/** How a status is shown: "good", "bad", "warn", or "" while the job runs. */
export function toneOf(status) {
  return ENDINGS[status] ?? "";
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
    status: null, firstTime: null, lastTime: null, baseModel: null, percent: null, etaSeconds: null,
    step: null, totalSteps: null, epoch: null, totalEpochs: null, audioSpeed: null, gradNorm: null,
    learningRate: null, stats: {}, download: null, evaluation: {}, dataset: {}, configuration: {},
    parameters: null, trainSamples: null, evalSamples: null, runtime: null, modelPath: null, error: null,
    warnings: [], epochs: [], checkpoints: 0, resumes: 0, loss: [], evalLoss: [], rates: [], lastOf: new Map(),
  };
  for (const event of events) fold(job, object(event));
  job.xName = job.loss.length > 0 || job.totalSteps !== null ? "step" : "epoch";
  job.evalLoss = job.epochs.filter(({ evalLoss }) => evalLoss !== null).map((row) => [positionOf(job, row), row.evalLoss]);
  if (job.loss.length === 0) {
    job.loss = job.epochs.filter(({ trainLoss }) => trainLoss !== null).map((row) => [positionOf(job, row), row.trainLoss]);
    job.rates = job.epochs.filter(({ learningRate }) => learningRate !== null).map((row) => [positionOf(job, row), row.learningRate]);
  }
  return job;
}

function fold(job, event) {
  job.status = event.status;
  job.firstTime ??= event.timestamp;
  job.lastTime = event.timestamp;
  job.error = null; // what goes on after a failure has not failed
  if (event.status === "initializing") job.lastOf.clear(); // a new attempt: the stepper starts again
  job.lastOf.delete(event.status); // so that the map's order is that of the newest
  job.lastOf.set(event.status, event);
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
  },
  dataset_ready(job, event) {
    job.trainSamples = number(event.train_samples);
    job.evalSamples = number(event.eval_samples);
    job.dataset = object(event.dataset);
  },
  starting_training(job, event) {
    job.configuration = object(event.configuration);
    job.totalSteps = number(job.configuration.max_steps) ?? job.totalSteps;
  },
  resumed(job) {
    job.resumes += 1;
  },
  epoch_started: foldPace,
  training_progress(job, event) {
    foldPace(job, event);
    const metrics = object(event.metrics);
    const step = number(event.step);
    if (step === null) return;
    addPoint(job.loss, step, number(metrics.loss));
    addPoint(job.rates, step, number(metrics.learning_rate));
    job.learningRate = number(metrics.learning_rate) ?? job.learningRate;
    job.gradNorm = number(metrics.grad_norm) ?? job.gradNorm;
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
      evalWer: number(metrics.eval_wer),
      learningRate: number(metrics.learning_rate),
      seconds: number(metrics.epoch_time_seconds),
    };
    job.learningRate = row.learningRate ?? job.learningRate;
    job.epochs = [...job.epochs.filter(({ epoch }) => epoch < row.epoch), row]; // a resume may repeat one
  },
  checkpoint_saved(job) {
    job.checkpoints += 1;
  },
  training_completed(job, event) {
    job.runtime = number(event.train_runtime);
    job.percent = 100;
    job.etaSeconds = null;
  },
  evaluation_completed(job, event) {
    job.evaluation = { ...job.evaluation, ...event, ...object(event.metrics), ...object(event.evaluation) };
  },
  completed(job, event) {
    const result = object(event.final_result);
    job.percent = 100;
    job.etaSeconds = null;
    job.evaluation = { ...job.evaluation, ...object(result.evaluation) };
    job.dataset = { ...job.dataset, ...object(result.dataset) };
    job.modelPath = text(object(result.artifacts).model_path);
    for (const warning of [result.warnings ?? []].flat()) addWarning(job, warning);
  },
  failed(job, event) {
    job.error = text(event.error) ?? "The job failed without a reason.";
    job.etaSeconds = null;
  },
  cancelled(job) {
    job.etaSeconds = null;
  },
  interrupted(job) {
    job.etaSeconds = null;
  },
};

function foldPace(job, event) {
  job.percent = number(event.progress_percent) ?? job.percent;
  job.etaSeconds = number(event.eta_seconds ?? object(event.metrics).eta_seconds) ?? job.etaSeconds;
  job.step = number(event.step) ?? job.step;
  job.totalSteps = number(event.total_steps) ?? job.totalSteps;
  job.epoch = number(event.epoch) ?? job.epoch;
  job.totalEpochs = number(event.total_epochs) ?? job.totalEpochs;
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

/** The single values of the setup and the dataset as [name, value]; an object's values go under its name. */
export function readFacts({ configuration, dataset }) {
  return Object.entries({ ...configuration, ...dataset })
    .flatMap(([name, value]) => [[name, value], ...Object.entries(object(value)).map(([key, inner]) => [`${name}: ${key}`, inner])])
    .filter(([, value]) => number(value) !== null || text(value) !== null || typeof value === "boolean");
}

/** Each step of the stepper with its state ("done", "current", "stopped", "skipped" or "") and a note. */
export function readSteps(job) {
  const seen = STEPS.map(({ statuses }) => statuses.filter((status) => job.lastOf.has(status)));
  const reached = seen.findLastIndex((statuses) => statuses.length > 0);
  const isStopped = ["bad", "warn"].includes(toneOf(job.status));
  return STEPS.map(({ name }, index) => {
    const note = latestOf(job, seen[index]);
    if (index > reached) return { name, state: "", note: "" };
    if (index < reached) return { name, state: seen[index].length > 0 ? "done" : "skipped", note };
    if (isStopped) return { name, state: "stopped", note: wordsOf(job.status) };
    return { name, state: job.status === "completed" ? "done" : "current", note };
  });
}

function latestOf(job, statuses) {
  const last = [...job.lastOf.keys()].filter((status) => statuses.includes(status)).at(-1);
  return last === undefined ? "skipped" : wordsOf(last);
}

const RATES = { wer: "WER", cer: "CER", wer_normalized: "WER, normalized text", cer_normalized: "CER, normalized text" };

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
