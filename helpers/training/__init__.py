"""One training loop, with one definition of loss and one of accuracy.

>>> model, record = train(Config(epochs=1), seed=0)
>>> found = sweep([Config(batch_size=size) for size in (16, 32, 64)], seeds=range(3))

The loss is the sum over samples divided by their number, also where the last batch is
smaller. On one machine the same config and seed give the same numbers to the bit: on
the CPU a run therefore keeps to one thread, and `sweep` runs one process per core.

Inside, `sweeps` looks up in `helpers.runs` what is recorded and trains the rest with
`loop`, which takes its images from `batches`, judges by `evaluation`, and writes a
`checkpoint` after each epoch.
"""

from helpers.training.config import Config
from helpers.training.evaluation import Evaluation, evaluate
from helpers.training.loop import Training, load_model, train
from helpers.training.sweeps import sweep

__all__ = [
    "Config",
    "Evaluation",
    "Training",
    "evaluate",
    "load_model",
    "sweep",
    "train",
]
