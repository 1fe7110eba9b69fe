"""Groups of names that belong together."""

from collections.abc import Iterable


def unite(names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each name's group, where the names of a pair are in the same one."""
    group = {name: name for name in names}

    def find(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for first, second in pairs:
        group[find(second)] = find(first)
    return {name: find(name) for name in group}
