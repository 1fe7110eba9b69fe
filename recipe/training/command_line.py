"""The flags of `train.py`: in groups, and refused with a sentence instead of pages of usage."""

import argparse
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, NoReturn, get_type_hints

from transformers import HfArgumentParser

from recipe.arguments import (
    DataArguments,
    EvaluationArguments,
    ModelArguments,
    PublishArguments,
    SourceArguments,
    describe_problems,
    describe_unknown,
)
from recipe.errors import JobError

DESCRIPTION = """\
Fine-tune Whisper on a folder of recordings and captions. For example:

  accelerate launch --quiet --config_file accelerate_configs/single_gpu.yaml train.py \\
      --data_dir recordings --model_name_or_path openai/whisper-small --language fr --output_dir runs/fr

One .yaml or .json file may hold the options instead. Run the same command again after any interruption: it
goes on from the last whole checkpoint."""

TITLES: dict[type, str] = {
    SourceArguments: "recordings",
    ModelArguments: "model",
    DataArguments: "data",
    EvaluationArguments: "evaluation",
    PublishArguments: "publishing",
}
"""Headings of the recipe's own groups; what they are about is in their docstrings."""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Shows an option by its one name, not by the spelling with hyphens too, and its default."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or len(action.option_strings[0]) == 2:
            return super()._format_action_invocation(action)
        choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
        return f"{action.option_strings[0]} {choices}".strip()

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in {None, ""} else super()._get_help_string(action)

    def add_argument(self, action: argparse.Action) -> None:
        is_negation = isinstance(action.const, bool) and not action.const  # Trainer's `--no_…` of a flag
        if not is_negation:
            super().add_argument(action)


class CommandLine(HfArgumentParser):
    """The parser of `train.py`.

    Values of the recipe's own options are handed on as they are, where they are of another type than
    expected: `recipe.arguments.find_problems` judges them, with the same sentence as in a job.

    Args:
        groups: Dataclasses of the options, in the order of the help.
    """

    def __init__(self, groups: Iterable[type]) -> None:
        self._own: set[str] = set()
        super().__init__(
            groups,  # type: ignore[arg-type]  # it takes dataclasses
            prog="train.py",
            description=DESCRIPTION,
            formatter_class=_HelpFormatter,
            usage="train.py --data_dir FOLDER [options] | train.py FILE.yaml | train.py FILE.json",
            allow_abbrev=False,
            exit_on_error=False,
        )

    def read(self, argv: Sequence[str]) -> dict[str, Any]:
        """The options that the command line gives, by name.

        Raises:
            JobError: naming each flag that is unknown or has no value, with the nearest name.
        """
        try:
            namespace, rest = self.parse_known_args(argv)
        except argparse.ArgumentError as error:
            name = (error.argument_name or "the command line").partition("/")[0].lstrip("-")
            raise JobError(describe_problems([f"{name}: {error.message}"])) from error
        if rest:
            known = {action.dest for action in self._actions}
            flags = [word for word in rest if word.startswith("--")] or rest[:1]
            names = [flag.partition("=")[0] for flag in flags]
            raise JobError(describe_problems([describe_unknown(name, known) for name in names]))
        return vars(namespace)

    def error(self, message: str) -> NoReturn:
        """Refuse with a sentence; argparse would print all usage and exit."""
        raise JobError(describe_problems([message]))

    def _add_dataclass_arguments(self, dtype: type) -> None:
        hints = get_type_hints(dtype)
        if dtype in TITLES:
            group = self.add_argument_group(TITLES[dtype], inspect.getdoc(dtype))
            groups = {f.name: group for f in fields(dtype)}
            self._own.update(groups)
        else:
            own = self.add_argument_group("training", "Trainer's options that the recipe sets or adds.")
            others = self.add_argument_group("training, all else", "See Seq2SeqTrainingArguments.")
            changed = inspect.get_annotations(dtype)
            groups = {f.name: own if f.name in changed else others for f in fields(dtype)}
        for field in fields(dtype):
            if field.init:
                field.type = hints[field.name]
                self._parse_dataclass_field(groups[field.name], field)  # type: ignore[arg-type]

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            if action.dest in self._own:
                return arg_string
            raise

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.dest not in self._own:
            super()._check_value(action, value)
