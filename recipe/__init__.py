"""WhisperTrain: people's recordings and captions in, a Whisper model that recognises their speech better out.

One folder per stage; each imports only those above it here:

    arguments, errors   every option with its bounds and rules; the sentences that users see
    run                 one run, as the handler and `train.py` both know it: folder, files, stages, launch
    backend             files come from the platform, progress goes to it
    captions, audio     caption file -> cues; audio or video file -> 16 kHz mono samples
    page                template -> page for people, in one style
    data                recordings -> Arrow dataset of windows of at most 30 s, split, reported
    model               the checkpoint, its inputs, its adapters, inference on all processes
    evaluation          windows -> transcripts, WER and CER
    export              model folder -> formats of other runtimes, each proved by its runtime
    screening           the base model judges the data: languages, times of words, labels against their audio
    publish             model -> verified folder with its card -> folder, S3 or hub
    training            arguments, one attempt's life, the exact trainer, checkpoints, weight selection

`train.py` calls the stages. The handler has a branch of its own on `run`, `backend` and `publish`: `worker`,
with the job, the supervisor of `train.py` and the answer.
"""
