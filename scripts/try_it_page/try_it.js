// Records or takes a file, asks each model in turn and shows both transcripts; words that differ are underlined.

const status = document.getElementById("status");
const player = document.getElementById("player");
const recordButton = document.getElementById("record");
const SIDES = ["base", "trained"];
let recorder = null;

const models = await (await fetch("models")).json();
for (const side of SIDES) {
  const section = document.getElementById(side);
  section.hidden = !(side in models);
  section.querySelector(".name").textContent = models[side] ?? "";
}

document.getElementById("file").addEventListener("change", (event) => {
  if (event.target.files.length) transcribe(event.target.files[0]);
});

recordButton.addEventListener("click", async () => {
  if (recorder) {
    recorder.stop();
    return;
  }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    recorder.addEventListener("stop", () => {
      stream.getTracks().forEach((track) => track.stop());
      recordButton.textContent = "Record";
      const recording = new Blob(parts, { type: recorder.mimeType });
      recorder = null;
      transcribe(recording);
    });
    recorder.start();
    recordButton.textContent = "Stop";
    status.textContent = "Listening …";
  } catch (error) {
    status.textContent = `The microphone cannot be used (${error.message}); choose a file instead.`;
  }
});

async function transcribe(recording) {
  player.src = URL.createObjectURL(recording);
  player.hidden = false;
  const found = {};
  for (const side of SIDES.filter((side) => side in models)) {
    status.textContent = `The ${side} model is transcribing …`;
    const headers = { "Content-Type": "application/octet-stream" };
    try {
      const answer = await fetch(`transcribe/${side}`, { method: "POST", body: recording, headers });
      const content = await answer.json();
      if (!answer.ok) throw new Error(content.error);
      found[side] = content;
    } catch (error) {
      status.textContent = error.message;
      return;
    }
    for (const shown of SIDES.filter((name) => found[name])) show(shown, found[shown], otherWords(found, shown));
  }
  status.textContent = "";
}

function otherWords(found, side) {
  const other = found[SIDES.find((name) => name !== side)];
  return other && new Set(other.segments.flatMap((segment) => segment.text.split(/\s+/).map(plain)));
}

function plain(word) {
  return word.toLowerCase().replace(/[\p{P}\p{S}]/gu, "");
}

function show(side, content, others) {
  const section = document.getElementById(side);
  section.querySelector("ol").replaceChildren(...content.segments.map((segment) => {
    const item = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = `${(segment.start ?? 0).toFixed(1)} s`;
    const text = document.createElement("span");
    for (const word of segment.text.split(/\s+/)) {
      const isOther = others && plain(word) && !others.has(plain(word));
      const element = document.createElement(isOther ? "mark" : "span");
      element.textContent = word;
      text.append(element, " ");
    }
    item.append(time, text);
    return item;
  }));
  section.querySelector(".note").textContent =
    `${content.audio_seconds} s of sound in ${content.seconds} s`;
}
