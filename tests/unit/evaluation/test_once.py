from recipe.evaluation.once import make_once


def test_what_was_made_is_found_again_under_the_same_fingerprint_only(tmp_path):
    path, made = tmp_path / "kept.json", []

    def make() -> list[int]:
        made.append(len(made))
        return list(made)

    assert make_once(path, list[int], {"data": "a"}, make) == [0]
    assert make_once(path, list[int], {"data": "a"}, make) == [0]
    assert make_once(path, list[int], {"data": "b"}, make) == [0, 1]
    assert list(tmp_path.iterdir()) == [path]
