"""A suite: the attacks of one evaluation, in order, as YAML and the command line name them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qlight.attacks.arguments import plain
from qlight.attacks.spec import AttackSpec
from qlight.errors import InputError, nearest

_SHAPES = "a name such as FGSM, a list of names, a mapping from label to attack, or the path of a YAML file that holds one of these"


class AttackSuite:
    """An ordered list of attacks with different names.

    >>> AttackSuite.from_value("fgsm,bim").names
    ['FGSM', 'BIM']
    >>> AttackSuite.from_value({"weak": {"class_path": "FGSM", "init_args": {"eps": "2/255"}}, "PGD": None}).to_value()
    {'weak': {'class_path': 'torchattacks.FGSM', 'init_args': {'eps': 0.00784313725490196}}, 'PGD': {'class_path': 'torchattacks.PGD'}}
    """

    def __init__(self, specs: Iterable[AttackSpec]) -> None:
        self.specs = tuple(specs)
        if not self.specs:
            raise InputError(f"Expected `attacks` to name at least one attack, but got none; give {_SHAPES}.")
        for spec in self.specs:
            if self.names.count(spec.name) > 1:
                raise InputError(
                    f"Expected `attacks` with different labels, but {spec.name!r} comes twice; use a mapping with one label each."
                )

    @classmethod
    def from_value(cls, value: Any) -> AttackSuite:
        """The suite that `value` describes.

        Args:
            value: a suite; one attack (``"FGSM"`` or ``{class_path, init_args}``); several names in a string (``"fgsm,bim"``); a list of
                names and mappings; a mapping label -> (name | {class_path, init_args} | null, where the label is the name); the path of a
                YAML file that holds any of these. Any mapping may have `attacks` on top of it.

        Raises:
            InputError: none of these, an unknown attack, a bad argument, or a file that cannot be read.
        """
        return value if isinstance(value, AttackSuite) else cls(_specs(value, within=()))

    def to_value(self) -> dict[str, dict[str, Any]]:
        """The suite as plain data for YAML: label -> {class_path, init_args}; `from_value` gives it back."""
        return {s.name: {"class_path": s.class_path, **({"init_args": plain(s.init_args)} if s.init_args else {})} for s in self.specs}

    @property
    def names(self) -> list[str]:
        """The labels, in order."""
        return [spec.name for spec in self.specs]

    def __iter__(self) -> Iterator[AttackSpec]:
        return iter(self.specs)

    def __len__(self) -> int:
        return len(self.specs)

    def __eq__(self, other: object) -> bool:
        return self.specs == other.specs if isinstance(other, AttackSuite) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a spec holds a dict

    def __repr__(self) -> str:
        return f"AttackSuite({self.to_value()!r})"


def _specs(value: Any, within: tuple[Path, ...]) -> list[AttackSpec]:
    """The specs of `value`; `within` are the files being read, so that a file that names itself is refused."""
    if isinstance(value, AttackSpec):
        return [AttackSpec.create(value.name, value.class_path, value.init_args)]
    if isinstance(value, Path):
        return _from_file(value, within)
    if isinstance(value, str):
        return _from_text(value, within)
    if isinstance(value, Mapping):
        return _from_mapping(value, within)
    if isinstance(value, list | tuple):
        specs: list[AttackSpec] = []
        for item in value:
            if isinstance(item, list | tuple):
                raise InputError(f"Expected `attacks` to be {_SHAPES}, but a list holds another list {item!r}; flatten it.")
            specs += _specs(item, within)
        return _told_apart(specs)
    raise InputError(f"Expected `attacks` to be {_SHAPES}, but got {value!r}.")


def _from_text(text: str, within: tuple[Path, ...]) -> list[AttackSpec]:
    stripped = text.strip()
    if not stripped:
        raise InputError(f"Expected `attacks` to be {_SHAPES}, but got an empty string.")
    if stripped[0] in "{[":
        return _specs(_parse(stripped, "`attacks`"), within)
    if stripped.endswith((".yaml", ".yml", ".json")) or ("/" in stripped and "," not in stripped):
        return _from_file(Path(stripped), within)
    return _told_apart([AttackSpec.create(None, name) for name in stripped.split(",") if name.strip()])


def _from_file(path: Path, within: tuple[Path, ...]) -> list[AttackSpec]:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(
            f"Expected `attacks` to name a readable YAML file, but {str(path)!r} is not one ({said}); correct the path."
        ) from error
    where = path.resolve()
    if where in within:
        raise InputError(f"Expected `attacks` in {str(path)!r} to describe attacks, but the file names itself; list the attacks in it.")
    return _specs(_parse(text, f"the file {str(path)!r}"), (*within, where))


def _parse(text: str, source: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise InputError(f"Expected {source} to hold YAML with `attacks`, but it cannot be read: {problem}.") from error


def _from_mapping(value: Mapping[Any, Any], within: tuple[Path, ...]) -> list[AttackSpec]:
    if "class_path" in value:
        return [_one(None, value)]
    if "attacks" in value:
        others = [str(key) for key in value if key != "attacks"]
        if others:
            raise InputError(
                f"Expected `attacks` alone at the top of a suite, but got `{others[0]}` as well; a suite is a fragment of its own."
            )
        return _specs(value["attacks"], within)
    specs = []
    for label, item in value.items():
        if not isinstance(label, str):
            raise InputError(f"Expected the labels of `attacks` to be strings, but got {label!r}; put it in quotes.")
        specs.append(_one(label, item))
    return specs


def _one(label: str | None, item: Any) -> AttackSpec:
    """One attack of a mapping: a name, {class_path, init_args}, or nothing, where the label is the name."""
    who = "an attack" if label is None else f"attack `{label}`"
    if item is None and label is not None:
        return AttackSpec.create(label, label)
    if isinstance(item, str):
        return AttackSpec.create(label, item)
    if not isinstance(item, Mapping) or "class_path" not in item:
        raise InputError(f"Expected {who} to be a name or a mapping with `class_path` and `init_args`, but got {item!r}; correct it.")
    for key in item:
        if key not in ("class_path", "init_args"):
            close = nearest(str(key), ("class_path", "init_args"))
            hint = f"did you mean {close}?" if close else "put arguments under `init_args`."
            raise InputError(f"Expected {who} to hold `class_path` and `init_args`, but got `{key}`; {hint}")
    init_args = item.get("init_args")
    if not isinstance(item["class_path"], str):
        raise InputError(f"Expected `class_path` of {who} to be a string, but got {item['class_path']!r}; correct it.")
    if init_args is not None and not isinstance(init_args, Mapping):
        raise InputError(f"Expected `init_args` of {who} to be a mapping, but got {init_args!r}; write name: value lines.")
    return AttackSpec.create(label, item["class_path"], init_args)


def _told_apart(specs: list[AttackSpec]) -> list[AttackSpec]:
    """Labels made different where a list names one class several times: PGD, PGD_2, ..."""
    from dataclasses import replace

    seen: dict[str, int] = {}
    apart = []
    for spec in specs:
        seen[spec.name] = seen.get(spec.name, 0) + 1
        apart.append(spec if seen[spec.name] == 1 else replace(spec, name=f"{spec.name}_{seen[spec.name]}"))
    return apart
