"""The three data sets of the report, as tensors in memory.

>>> digits = load("mnist")
>>> digits.train[28].images  # uint8, (60000, 1, 28, 28)
>>> digits.train[28].labels  # int64, (60000,)

All three have this one structure: `train` and `test` map a resolution in pixels to a
`Split`. MNIST has 28, CIFAR-10 has 32, the variable-resolution MNIST has 32, 48, 64.

`locate` says where a set comes from: local files first (in the folder that the
environment variable REPORT_DATA names, then in data/), then the official download into
data/, then a small stand-in that needs no file. REPORT_PROFILE=quick asks for the
stand-in, REPORT_PROFILE=full rules it out. data/README.md lists the accepted files.

Inside, `sources` chooses by the table in `catalogue`, which puts together what
`download` fetches, what `formats` and `images` read, and what `stand_ins` draws.
"""

from helpers.data.samples import DataError, DataSet, Split
from helpers.data.sources import Location, load, locate

__all__ = ["DataError", "DataSet", "Location", "Split", "load", "locate"]
