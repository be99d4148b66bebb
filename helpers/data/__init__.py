"""The three data sets of the report, as tensors in memory.

>>> digits = load("mnist")
>>> digits.train[28].images  # uint8, (60000, 1, 28, 28)
>>> digits.train[28].labels  # int64, (60000,)

All three have this one structure: `train` and `test` map a resolution in pixels to a
`Split`. MNIST has 28, CIFAR-10 has 32, the variable-resolution MNIST has 32, 48, 64.

`locate` says where a set comes from: local files first (in the folder that the
environment variable REPORT_DATA names, then in data/), then, for MNIST and the set made
from it, what is committed with the code, and for CIFAR-10 the official download into
data/. REPORT_PROFILE=quick takes a small set in the place of each, for trying things
out. data/README.md lists the accepted files. `variant` knows without looking what
`load` will give.

Inside, `sources` chooses by the table in `catalogue`, which puts together what
`embedded` holds, what `download` fetches, what `formats` and `images` read, and the
small sets of `quick`.
"""

from helpers.data.catalogue import RECIPES
from helpers.data.samples import DataError, DataMissing, DataSet, Split
from helpers.data.sources import Location, load, locate, quick_profile, variant

NAMES = tuple(RECIPES)

__all__ = [
    "NAMES",
    "RECIPES",
    "DataError",
    "DataMissing",
    "DataSet",
    "Location",
    "Split",
    "load",
    "locate",
    "quick_profile",
    "variant",
]
