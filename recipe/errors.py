"""Every error that this project raises for a user to read.

    RecipeError
    ├── JobError                 the request itself: a field, a name, a setting
    │   └── JobConflictError     the same job id with other settings, or already running
    ├── BackendError             the platform's backend
    │   ├── AuthenticationError  the credentials were refused
    │   └── MissingFileError     the backend does not have this one file
    ├── DataError                the user's recordings as a whole
    │   ├── CaptionError         one caption file
    │   │   └── LanguageNeededError  only its language, which nobody said, tells how it is read
    │   └── AudioError           one audio file
    ├── TrainingError            the model, the device, the optimisation
    │   ├── CheckpointError      a checkpoint that cannot be trusted or does not fit
    │   └── LostProcessError     another process of the training ended or fell silent
    ├── DiskError                the disk of the run is full or cannot be written
    └── PublishError             the finished model could not be released or delivered
    InterruptedTraining          the worker was asked to stop; the work done is on disk

A message is one sentence or two: which file or field, what was found, what was expected, what to do.
"""


class RecipeError(Exception):
    """Base of all errors whose message is meant for the user, without a traceback."""


def explain_error(error: Exception, problem: str) -> str:
    """The sentence for one file's error: our own, or `problem` with the name of what a library raised.

    A library's own text is left out: it may quote a header, and with it a credential.
    """
    return str(error) if isinstance(error, RecipeError) else f"{problem} ({type(error).__name__})"


def sentence_of(error: RecipeError) -> str:
    """The message; of an error in a worker process of a DataLoader without the traceback put before it."""
    text = str(error)
    is_wrapped = text.startswith("Caught ") and " in DataLoader worker process " in text
    return text.rpartition(f"{type(error).__name__}: ")[2].strip() if is_wrapped else text


class JobError(RecipeError):
    """The job or an argument is wrong; nothing was started."""


class JobConflictError(JobError):
    """The job id belongs to a run with other settings, or to one that is running now."""


class BackendError(RecipeError):
    """The platform's backend could not be reached or answered wrongly, after all retries."""


class AuthenticationError(BackendError):
    """The backend refused the credentials (401 or 403)."""


class MissingFileError(BackendError):
    """The backend does not have the requested file (404 or 410)."""


class DataError(RecipeError):
    """The recordings, taken together, cannot be trained on."""


class CaptionError(DataError):
    """One caption file cannot be read at all."""


class LanguageNeededError(CaptionError):
    """One caption file can be read in several ways, and nobody said the language that would settle it."""


class AudioError(DataError):
    """One audio file cannot be read at all, or is outside the limits."""


class TrainingError(RecipeError):
    """Training cannot start or cannot go on."""


class CheckpointError(TrainingError):
    """A checkpoint is damaged, or was made with another layout or dataset."""


class LostProcessError(TrainingError):
    """Another process of the training ended or fell silent; the next attempt goes on."""


class DiskError(RecipeError):
    """The disk of the run is full, or cannot be written."""


class PublishError(RecipeError):
    """The model is not fit to be released, or could not be delivered."""


class InterruptedTraining(BaseException):
    """The worker was asked to stop; running the same command again goes on from the last checkpoint.

    No `Exception`, as `KeyboardInterrupt` is none: it is raised wherever the main thread stands, and who
    catches what a library may raise there would take it for that.
    """
