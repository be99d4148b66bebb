"""Config: everything that decides what one training run comes to, besides its seed."""

import functools
import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

from helpers import augment, canvas
from helpers.checks import is_number, is_whole, plain
from helpers.data import RECIPES
from helpers.models import NETWORKS

Step = tuple[str, Mapping[str, Any]]  # of preparation or augmentation

CHOICES = {
    "data": ("mnist", "varres", "cifar10"),
    "network": tuple(NETWORKS),
    "loss": ("cross-entropy", "binary cross-entropy"),
    "optimizer": ("Adam", "AdamW", "RMSprop", "SGD"),
    "schedule": ("constant", "one-cycle"),
    "precision": ("float32", "bfloat16"),
    "image_order": ("shuffled", "by class"),
    "batch_order": ("mixed", "blocked"),
}

Shape = tuple[int, int, int]  # of an image: channels, height, width

CLASSES = 10  # of every data set

DECAYING = ("AdamW", "SGD")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The choices of one training run; two equal ones with one seed train alike.

    data: which set, by its name in `helpers.data`.
    network, network_options: class of `helpers.models`, and arguments for it.
    loss: "cross-entropy", or "binary cross-entropy", the mean over one yes-or-no
        question per class.
    label_smoothing: share of the target that is spread evenly over all classes.
    optimizer, learning_rate: the peak of the schedule; other settings are PyTorch's,
        and "SGD" has Nesterov's momentum of 0.9.
    weight_decay: as in PyTorch, of "AdamW" and "SGD".
    schedule: "constant", or "one-cycle": up over the first 30 % of the steps, then down
        to nearly nothing, along cosines.
    batch_norm: whether training puts a batch norm behind every layer but the last; it
        is folded into the layers' own weights wherever the network is evaluated.
    weight_average: decay per step of an exponential average of the weights, which then
        takes the place of the weights wherever the network is evaluated; 0 for none.
    validation_share: share of the training images that is held out, the same ones for
        every seed: of MNIST's 60,000 a sixth makes 10,000. With 0 all are trained on.
    training_share: share of the remaining images that is trained on, the same ones for
        every seed.
    preparation: steps of `helpers.canvas` that bring all images to a size or place,
        once, before training and evaluation.
    augmentation: steps of `helpers.augment`, drawn anew for every training image in
        every epoch. Steps are pairs of a name and its options, in their order.
    augmented_share: share of the epochs, from the first on, that are augmented; the
        others see the images as they are.
    precision: of the layers' arithmetic in training, see `helpers.training.precision`;
        evaluation is always in float32.
    image_order: "shuffled" anew in every epoch, or "by class", as folders list them.
    batch_order: where images come in several sizes, batches of all sizes "mixed", or
        in each epoch one size after the other, "blocked".

    Raises ValueError, naming what is allowed, for an unknown name or a wrong value, and
    where network, preparation or augmentation do not take the images of the data.
    """

    data: str = "mnist"
    network: str = "FixedNet"
    network_options: Mapping[str, Any] | tuple = ()
    loss: str = "cross-entropy"
    label_smoothing: float = 0.0
    optimizer: str = "Adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "constant"
    batch_size: int = 32
    epochs: int = 8
    batch_norm: bool = False
    weight_average: float = 0.0
    validation_share: float = 1 / 6
    training_share: float = 1.0
    preparation: Sequence[Step] = ()
    augmentation: Sequence[Step] = ()
    augmented_share: float = 1.0
    precision: str = "float32"
    image_order: str = "shuffled"
    batch_order: str = "mixed"

    def __new__(cls, *unnamed: Any, **settings: Any) -> "Config":
        # Ahead of __init__, which would raise TypeError without a list of the names.
        names = [field.name for field in fields(cls)]
        if unnamed:
            raise ValueError(
                f"{unnamed[0]!r} has no name: use {names[0]}=... and so on"
            )
        for name in settings:
            if name not in names:
                raise ValueError(f"unknown setting {name!r}: use {', '.join(names)}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in allowed:
                self._refuse(name, " or ".join(map(repr, allowed)))
        if type(self.batch_norm) is not bool:
            self._refuse("batch_norm", "True or False")
        if self.batch_norm and is_whole(self.batch_size) and self.batch_size == 1:
            self._refuse("batch_size", "at least 2 with batch_norm")
        for name in ("batch_size", "epochs"):
            value = getattr(self, name)
            if not is_whole(value) or value < 1:
                self._refuse(name, "a whole number from 1 up")
            object.__setattr__(self, name, plain(value))
        for name in ("label_smoothing", "weight_average", "validation_share"):
            if not 0 <= self._as_float(name) < 1:
                self._refuse(name, "a number from 0 up to, but not including, 1")
        if not 0 < self._as_float("training_share") <= 1:
            self._refuse("training_share", "a number above 0, up to 1")
        if not 0 < self._as_float("learning_rate") < math.inf:
            self._refuse("learning_rate", "a number above 0")
        if not 0 <= self._as_float("augmented_share") <= 1:
            self._refuse("augmented_share", "a number from 0 to 1")
        if not 0 <= self._as_float("weight_decay") < math.inf:
            self._refuse("weight_decay", "a number from 0 up")
        if self.weight_decay and self.optimizer not in DECAYING:
            self._refuse(
                "weight_decay", f"0 with {self.optimizer!r}, or {' or '.join(DECAYING)}"
            )
        if self.label_smoothing and self.loss != "cross-entropy":
            self._refuse("label_smoothing", f"0 with the loss {self.loss!r}")
        self._set_network_options()
        for name, module in (("preparation", canvas), ("augmentation", augment)):
            module.check(getattr(self, name))
            steps = ((step, _pairs(options)) for step, options in getattr(self, name))
            object.__setattr__(self, name, tuple(steps))
        for shape in _shapes_in_training(self.data, self.preparation):
            self.check_image(shape)
        _try_augmentation(self.data, self.preparation, self.augmentation)

    def _as_float(self, name: str) -> float:
        """Replace a number by its float, so that 1 and 1.0 make the same run."""
        value = getattr(self, name)
        if not (is_number(value) or isinstance(value, float)):
            self._refuse(name, "a number")
        object.__setattr__(self, name, float(value))
        return float(value)

    def _set_network_options(self) -> None:
        """Keep the options as sorted pairs, which can be hashed, and try them out."""
        try:
            options = dict(self.network_options)
        except (TypeError, ValueError):
            self._refuse("network_options", "names and values, {'image_size': 28}")
        allowed = list(inspect.signature(NETWORKS[self.network]).parameters)
        if unknown := set(options) - set(allowed):
            raise ValueError(
                f"network_options has {', '.join(sorted(unknown))}; {self.network} "
                f"takes {', '.join(allowed)}"
            )
        object.__setattr__(self, "network_options", _pairs(options))
        try:
            network = without_values(self.network, self.network_options)
            if not all(values.numel() for values in network.parameters()):
                raise ValueError("as a layer would have no channels")
        except Exception as error:  # whatever a layer says of a value
            raise ValueError(
                f"network_options are {options}: {self.network} cannot be made with "
                f"them, {error}"
            ) from error
        if (classes := network[-1].out_features) != CLASSES:
            raise ValueError(
                f"classes of {self.network} is {classes}: all data sets have {CLASSES}"
            )

    def check_image(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless the network takes an image of this shape.

        shape: (channels, height, width), after the preparation.
        """
        network = without_values(self.network, self.network_options)
        try:
            network(torch.empty(2, *shape, device="meta"))
        except ValueError as error:
            signature = inspect.signature(NETWORKS[self.network])
            settings = {
                name: dict(self.network_options).get(name, parameter.default)
                for name, parameter in signature.parameters.items()
            }
            channels, height, width = shape
            raise ValueError(
                f"{self.data} has images of {channels} channels and {height} x {width} "
                f"px here, which {self.network} with {settings} does not take: change "
                "network_options, or bring them to one size by preparation"
            ) from error

    def _refuse(self, name: str, allowed: str) -> None:
        raise ValueError(f"{name} is {getattr(self, name)!r}: use {allowed}")

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON knows them; `Config(**...)` gives an equal one."""
        settings = {field.name: getattr(self, field.name) for field in fields(self)}
        settings["network_options"] = dict(self.network_options)
        for name in ("preparation", "augmentation"):
            settings[name] = [[step, dict(options)] for step, options in settings[name]]
        return settings


@functools.cache
def _shapes_in_training(name: str, preparation: tuple) -> tuple[Shape, ...]:
    """Those of a data set's images once they are prepared, one per resolution."""
    black = (torch.zeros(1, *s, dtype=torch.uint8) for s in RECIPES[name].shapes)
    prepared = (canvas.prepare(image, preparation) for image in black)
    return tuple((c, h, w) for _, c, h, w in (image.shape for image in prepared))


@functools.cache
def _try_augmentation(name: str, preparation: tuple, augmentation: tuple) -> None:
    """Raise ValueError where a step does not take images of these shapes."""
    for shape in _shapes_in_training(name, preparation):
        try:
            augment.augment(torch.zeros(1, *shape), augmentation, torch.Generator())
        except ValueError as error:
            raise ValueError(f"augmentation of {name}: {error}") from error


@functools.cache
def without_values(network: str, options: tuple) -> nn.Sequential:
    """A network of shapes alone, to try options and images out on; in evaluation."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers without channels: see the caller
        return NETWORKS[network](**dict(options)).eval()


def _pairs(options: Mapping[str, Any] | tuple) -> tuple:
    """Options as sorted pairs, which can be hashed."""
    return tuple(sorted((name, _hashable(v)) for name, v in dict(options).items()))


def _hashable(value: Any) -> Any:
    value = plain(value)
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value
