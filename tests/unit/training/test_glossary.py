"""The terms that prompts are trained with come from what is trained on alone."""

from pathlib import Path

from datasets import Dataset
from tiny_trainers import make_example, make_examples

from recipe.arguments import DataArguments
from recipe.data.dataset import PreparedDataset
from recipe.model.whisper import Whisper
from recipe.training.arguments import fingerprint, parse_arguments
from recipe.training.assembly import build_training_windows, collect_terms


def windows(*texts: str) -> Dataset:
    return make_examples([make_example(text, start_ms=n) for n, text in enumerate(texts)])


TRAIN = windows("alpha bravo Charlie", "delta echo Frida Kahlo", "alpha foxtrot et charlie")
HELD_OUT = windows("tango secret Coyoacán", "zulu et mystery")


def write(folder: Path, *terms: str) -> Path:
    path = folder / "terms.txt"
    path.write_text("\n".join(terms))
    return path


def test_terms_of_the_glossary_that_are_said_come_first_and_then_rare_words(tmp_path: Path) -> None:
    given = DataArguments(glossary=str(write(tmp_path, "Frida Kahlo", "CHARLIE", "Coyoacán")))
    assert collect_terms(given, TRAIN) == [
        *("Frida Kahlo", "CHARLIE"),
        *("alpha", "bravo", "delta", "echo", "foxtrot", "Frida", "Kahlo"),
    ]


def test_no_prompt_holds_a_word_that_only_held_out_windows_say(tmp_path: Path, whisper: Whisper) -> None:
    dataset = PreparedDataset(TRAIN, HELD_OUT, HELD_OUT, TRAIN, {}, [], "")
    flags = ["--data_dir", "x", "--glossary", str(write(tmp_path, "Coyoacán", "zulu", "bravo"))]
    arguments = parse_arguments([*flags, "--glossary_fraction", "1", "--output_dir", str(tmp_path)])
    prompted = build_training_windows(arguments, whisper, dataset)
    decode = whisper.processor.tokenizer.decode
    seen = " ".join(
        decode(prompted[epoch, index]["decoder_input_ids"]) for epoch in range(30) for index in range(3)
    )
    assert all(word in seen for word in ("bravo", "charlie", "foxtrot", "Frida"))
    assert not any(word in seen for word in ("tango", "secret", "Coyoacán", "zulu", "mystery"))


def test_a_glossary_shapes_the_weights_only_where_prompts_hold_terms(tmp_path: Path) -> None:
    def describe(*flags: str) -> list[object]:
        arguments = parse_arguments(["--data_dir", "x", "--output_dir", str(tmp_path), *flags])
        return list(fingerprint(arguments, "d", "transcribe")["glossary"])

    path = str(write(tmp_path, "bravo"))
    trained = ["--glossary", path, "--glossary_fraction", "0.5"]
    assert describe() == describe("--glossary", path) == [0.0]
    found = describe(*trained)
    assert found[:2] == [0.5, 1.0]
    assert describe(*trained, "--glossary_weight", "1.1")[:2] == [0.5, 1.1]
    write(tmp_path, "alpha")
    assert describe(*trained) != found
