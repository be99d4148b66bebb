"""Six ways to compute the same convolution, what they cost, and how they are timed.

All take an input (batch, in_channels, height, width) and a kernel (out_channels,
in_channels, kernel_height, kernel_width), return (batch, out_channels, h_out, w_out),
can be differentiated as often as wished, and raise ValueError for sizes that do not fit
and for other than two tensors of the same floating-point type. Stride and padding are
one int or a (vertical, horizontal) pair; dilation and a bias are left to the loops,
which are the definition.

Each way is one module with one record, `record.Way`; `all` lists them, and apart from
them the direct way, which needs numba. `guard` is what
all but loops and unfold pass through. `model` holds the roofline, `stopwatch` measures,
`table` says what was measured. `helpers.bench.ways` keeps it.
"""

from helpers.ways.all import COMPILED, MEASURED, WAYS, computes, fastest, predict
from helpers.ways.common import adjoint, product, slices, without_stride
from helpers.ways.direct import convolve_direct
from helpers.ways.fft import convolve_fft
from helpers.ways.im2row import (
    FEW_CHANNELS,
    PatchColumns,
    PatchRows,
    convolve_im2row,
    patch_columns,
    patch_rows,
)
from helpers.ways.loops import convolve_loops
from helpers.ways.model import (
    CACHE_BYTES,
    CASES,
    GROWTH_BASE,
    VALUE_BYTES,
    Case,
    Cost,
    Counts,
    Machine,
    Phase,
    floor,
    library,
    matmul,
    typical,
    vary,
)
from helpers.ways.record import Way
from helpers.ways.shifted import ShiftedProducts, convolve_shifted, shifted_products
from helpers.ways.stopwatch import (
    growth,
    measure,
    measure_machine,
    measure_memory,
    one_thread,
    passes,
    seconds,
    take_turns,
)
from helpers.ways.table import (
    REFERENCES,
    Growth,
    Ratio,
    Spread,
    Timing,
    best,
    fastest_reference,
    median_of_best,
    pairs_named,
    ratios,
    slope,
    spread,
)
from helpers.ways.unfold import convolve_unfold
from helpers.ways.winograd import (
    WINOGRAD_A,
    WINOGRAD_B,
    WINOGRAD_G,
    convolve_winograd,
)
