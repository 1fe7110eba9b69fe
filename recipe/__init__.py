"""WhisperTrain: people's recordings and captions in, a Whisper model that hears them better out.

The pipeline, in the order of `train.py`; data flows downwards only:

    arguments, job        what the run is asked to do, checked before anything costly begins
    training.model        the base model, in float32
    data.manifest         file names          -> recordings (audio with its captions)
    data.download         backend             -> files on disk
    training.languages    recordings          -> recordings with the language spoken in each
    data.captions         VTT or SRT          -> cues (timed text in reading form)
    data.audio            any audio or video  -> int16 samples, 16 kHz mono
    data.windows          cues                -> windows of at most 30 s
    data.dataset          windows             -> Arrow shards of examples (FLAC, cues as data)
    training.label_check  base model, examples -> windows in doubt, held back (data.label_doubts)
    training.features     examples            -> log-mel features and labels, anew each epoch
    training.trainer      features            -> checkpoints, the same under each training.engine
    training.choice       base and trained weights -> those that the run ends with
    evaluation            model, held-out examples -> WER and CER, before and after
    publish               checkpoint, figures -> a folder that transformers loads, delivered

Beside it all: `backend` carries progress events and files, `system` reads the machine, `errors` are the
sentences users see, `launch`, `run_folder` and `answer` serve the RunPod handler.
"""
