"""One attack as a suite names it: a class, and its arguments without the model."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from qlight.attacks.arguments import all_arguments, attack_parameters, check_arguments, plain
from qlight.errors import InputError, nearest

if TYPE_CHECKING:
    import torch
    from torchattacks.attack import Attack


#: attacks of torchattacks that do not differentiate the model; all its others do
_WITHOUT_GRADIENTS = ("VANILA", "GN", "SPSA", "OnePixel", "Pixle", "Square")


@dataclass(frozen=True)
class AttackSpec:
    """An attack that is not yet bound to a model.

    Args:
        name: its label in tables and files.
        class_path: full dotted path of a `torchattacks.Attack` subclass.
        init_args: arguments of that class without `model`; numbers are in the units of the class, `eps` and step sizes in [0, 1].
    """

    name: str
    class_path: str
    init_args: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def create(cls, name: str | None, attack: str, init_args: Mapping[str, Any] | None = None) -> AttackSpec:
        """A checked spec; `attack` is a short name (any case) or a dotted path, `name` the label (default: the class's name).

        Raises:
            InputError: no such attack, not an attack class, or arguments that it does not take.

        >>> AttackSpec.create(None, "fgsm", {"eps": "8/255"})
        AttackSpec(name='FGSM', class_path='torchattacks.FGSM', init_args={'eps': 0.03137254901960784})
        """
        class_path, attack_class = resolve_attack(attack)
        label = attack_class.__name__ if name is None else name
        return cls(label, class_path, check_arguments(label, attack_class, init_args or {}))

    @property
    def attack_class(self) -> type[Attack]:
        """The class; imports it."""
        return resolve_attack(self.class_path)[1]

    @property
    def parameters(self) -> dict[str, Any]:
        """Every argument with the value used, defaults of the signature included, as JSON can hold it."""
        return plain(all_arguments(self.attack_class, self.init_args))

    @property
    def needs_gradients(self) -> bool | None:
        """Whether the attack differentiates the model; None: its class is neither qlight's nor torchattacks', and does not say.

        A class says so by an attribute of this name; a subclass is taken for what it inherits from.

        >>> AttackSpec.create(None, "PGD").needs_gradients, AttackSpec.create(None, "ZOO").needs_gradients
        (True, False)
        """
        for kind in self.attack_class.__mro__:
            own = vars(kind).get("needs_gradients")
            if isinstance(own, bool):
                return own
            if kind.__module__.startswith("torchattacks.") and kind.__name__ != "Attack":
                return kind.__name__ not in _WITHOUT_GRADIENTS
        return None

    def seeded(self, seed: int) -> AttackSpec:
        """The same attack with its own `seed` argument set where it has one that is None.

        torchattacks.AutoAttack without a seed takes the time of day, which no outer seed can make reproducible.
        """
        parameter = attack_parameters(self.attack_class).get("seed")
        if parameter is None or self.init_args.get("seed", parameter.default) is not None:
            return self
        return replace(self, init_args={**self.init_args, "seed": seed})

    def build(self, model: torch.nn.Module) -> Attack:
        """The attack bound to `model` (images N x C x H x W in [0, 1] -> logits N x classes), on the model's device.

        Raises:
            InputError: the class refuses its arguments.
        """
        try:
            # torchattacks prints a line for models without parameters; the loop sets the device itself.
            with contextlib.redirect_stdout(io.StringIO()):
                return self.attack_class(model, **self.init_args)
        except (TypeError, ValueError, AssertionError, KeyError, NotImplementedError) as error:
            said = str(error) or type(error).__name__
            raise InputError(f"Expected `init_args` that attack `{self.name}` accepts, but it refused {self.init_args}: {said}.") from error


def resolve_attack(attack: str) -> tuple[str, type[Attack]]:
    """The full dotted path and the class of an attack given by short name (any case) or by dotted path.

    Short names are looked up in `qlight.attacks`, then in `torchattacks`.

    Raises:
        InputError: there is none (with the nearest names), or it is not a `torchattacks.Attack` subclass.

    >>> resolve_attack("pgd")[0]
    'torchattacks.PGD'
    """
    attack = attack.strip()
    if "." not in attack:
        known = short_names()
        by_lower = {name.lower(): path for name, path in known.items()}
        if attack.lower() not in by_lower:
            close = nearest(attack, known)
            hint = f"did you mean {close}?" if close else "give a short name such as FGSM or a dotted path such as torchattacks.PGD."
            raise InputError(f"Expected `attacks` to name an attack, but there is no attack {attack!r}; {hint}")
        attack = by_lower[attack.lower()]
    module_name, _, class_name = attack.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module of the user's may fail in any way while it is imported
        raise InputError(
            f"Expected `class_path` to name an attack class, but module {module_name!r} of {attack!r} cannot be imported "
            f"({type(error).__name__}: {error}); correct the path or install it."
        ) from error
    found = getattr(module, class_name, None)
    if found is None:
        close = nearest(class_name, _attacks_in(module))
        hint = f"did you mean {close}?" if close else "correct the path."
        raise InputError(f"Expected `class_path` to name an attack class, but {module_name} has no {class_name!r}; {hint}")
    if not _is_attack(found):
        raise InputError(f"Expected `class_path` to name a subclass of torchattacks.Attack, but {attack} is not one; name an attack class.")
    return attack, found


@functools.cache
def short_names() -> dict[str, str]:
    """Short name -> dotted path of every attack of qlight and torchattacks that can be built from a model; qlight's come first."""
    names: dict[str, str] = {}
    for package in ("torchattacks", "qlight.attacks"):
        module = importlib.import_module(package)
        names |= {name: f"{package}.{name}" for name in _attacks_in(module)}
    return names


def attacks_without_gradients() -> list[str]:
    """The short names of the attacks that only query the model, and can run on any, sorted."""
    specs = [AttackSpec(name, path) for name, path in short_names().items()]
    return sorted(spec.name for spec in specs if spec.needs_gradients is False and not getattr(spec.attack_class, "needs_refusals", False))


def _attacks_in(module: Any) -> list[str]:
    return [name for name in getattr(module, "__all__", dir(module)) if _is_attack(getattr(module, name, None))]


def _is_attack(found: Any) -> bool:
    from torchattacks.attack import Attack

    return isinstance(found, type) and issubclass(found, Attack) and found is not Attack
