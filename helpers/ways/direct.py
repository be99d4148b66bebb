"""A direct convolution, compiled for this processor by numba: nothing is copied."""

import functools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.conv import Size
from helpers.ways.common import (
    Pair,
    StrideOne,
    adjoint,
    first_derivative,
    places,
    without_stride,
    without_surplus,
)
from helpers.ways.guard import guarded
from helpers.ways.model import VALUE_BYTES, Case, Cost, Counts, Phase, stride_removed
from helpers.ways.record import Way

try:
    from llvmlite import ir
    from numba import njit, types
    from numba.core import cgutils
    from numba.extending import intrinsic, models, register_model
except ImportError:  # an extra
    njit = None

# Outputs side by side that registers hold, each with all its channels of one block.
AT_ONCE = 7


@guarded
def convolve_direct(
    input_batch: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0
) -> Tensor:
    """Convolve by the definition, channels last, with the sums kept in registers.

    float32 and float64 on a CPU. Raises ValueError for other tensors, RuntimeError
    without numba.
    """
    if njit is None:
        raise RuntimeError(
            "numba is missing, which compiles the direct convolution: install it by "
            "`pip install 'convolution-report[compiled]'`, or use another way"
        )
    if not input_batch.is_cpu or input_batch.dtype not in (
        torch.float32,
        torch.float64,
    ):
        raise ValueError(
            f"input is {input_batch.dtype} on {input_batch.device}: the direct way "
            "takes float32 and float64 on a CPU; use another way"
        )
    return Direct.compute(*without_stride(input_batch, kernel, stride, padding))


class Direct(StrideOne):
    """Stride-1 convolution, channels last inside, by compiled loops."""

    @staticmethod
    def forward(image: Tensor, kernel: Tensor, padding: Pair) -> Tensor:
        return direct(image.permute(0, 2, 3, 1), kernel, padding).permute(0, 3, 1, 2)

    @staticmethod
    @first_derivative
    def backward(ctx: Any, dY: Tensor) -> tuple[Tensor, Tensor]:
        image, kernel = ctx.saved_tensors
        image, dY = image.permute(0, 2, 3, 1), dY.permute(0, 2, 3, 1)
        dX = direct(dY, *adjoint(kernel, ctx.padding))
        c_out, c, k_h, k_w = kernel.shape
        lanes, padded = register_lanes(c_out), pad(image, ctx.padding)
        dY = F.pad(dY, (0, -c_out % lanes)).contiguous()
        # Runs of a kernel row are computed some at a time, beyond their end as well.
        dK = dY.new_zeros(
            dY.shape[3] // lanes, k_h, k_w * c + -k_w * c % AT_ONCE, lanes
        )
        rows = F.pad(padded.flatten(2), (0, AT_ONCE))
        compiled(lanes, str(dY.dtype))[1](rows.numpy(), dY.numpy(), dK.numpy(), c)
        dK = dK[:, :, : k_w * c].unflatten(2, (k_w, c)).permute(0, 4, 3, 1, 2)
        return dX.permute(0, 3, 1, 2), dK.flatten(0, 1)[:c_out]


def direct(image: Tensor, kernel: Tensor, padding: Pair) -> Tensor:
    """Return the convolution of a channels-last image, channels last as well."""
    c_out, c, k_h, k_w = kernel.shape
    h_out, w_out = places(image.shape[1:3], (k_h, k_w), padding)
    lanes, wide = register_lanes(c_out), max(w_out, AT_ONCE)
    packed = F.pad(kernel.permute(2, 3, 1, 0), (0, -c_out % lanes))
    packed = packed.reshape(k_h, k_w * c, -1, lanes).permute(2, 0, 1, 3).contiguous()
    padded = F.pad(pad(image, padding), (0, 0, 0, wide - w_out))
    Y = image.new_empty(len(image), h_out, wide, len(packed) * lanes)
    write_sums, _ = compiled(lanes, str(image.dtype))
    write_sums(padded.flatten(2).numpy(), packed.numpy(), Y.numpy(), c)
    return Y[:, :, :w_out, :c_out]


def pad(image: Tensor, padding: Pair) -> Tensor:
    image, (above, left) = without_surplus(image, padding)
    return F.pad(image.contiguous(), (0, 0, left, left, above, above))


def register_lanes(channels: int) -> int:
    """How many channels are computed together: up to 32, two wide registers."""
    return next((n for n in (4, 8, 16) if channels <= n), 32)


@functools.cache
def compiled(lanes: int, dtype: str) -> tuple[Any, Any]:
    """Compile the loops for blocks of some channels: values, and the kernel's gradient.

    x (images, rows, columns * c); y (images, rows, columns, channels); k (blocks of
    channels, rows, columns * c, lanes).
    """
    zero, load, store, add = vectors(lanes, dtype)

    @njit(nogil=True)
    def write_sums(x, k, y, c):  # type: ignore[no-untyped-def]
        for n, d, i in np.ndindex(len(y), len(k), y.shape[1]):
            for block in range(-(-y.shape[2] // AT_ONCE)):
                j = min(block * AT_ONCE, y.shape[2] - AT_ONCE)  # the last overlaps
                a0 = a1 = a2 = a3 = a4 = a5 = a6 = zero()
                for p in range(k.shape[1]):
                    for r in range(k.shape[2]):
                        w, at = load(k, d, p, r, 0), j * c + r
                        a0 = add(a0, x, n, i + p, at, w)
                        a1 = add(a1, x, n, i + p, at + c, w)
                        a2 = add(a2, x, n, i + p, at + 2 * c, w)
                        a3 = add(a3, x, n, i + p, at + 3 * c, w)
                        a4 = add(a4, x, n, i + p, at + 4 * c, w)
                        a5 = add(a5, x, n, i + p, at + 5 * c, w)
                        a6 = add(a6, x, n, i + p, at + 6 * c, w)
                for t, a in enumerate((a0, a1, a2, a3, a4, a5, a6)):
                    store(y, n, i, j + t, d * lanes, a)

    @njit(nogil=True)
    def add_products(x, y, k, c):  # type: ignore[no-untyped-def]
        for n, d, p in np.ndindex(len(x), len(k), k.shape[1]):
            for r in range(0, k.shape[2], AT_ONCE):
                a0, a1 = load(k, d, p, r, 0), load(k, d, p, r + 1, 0)
                a2, a3 = load(k, d, p, r + 2, 0), load(k, d, p, r + 3, 0)
                a4, a5 = load(k, d, p, r + 4, 0), load(k, d, p, r + 5, 0)
                a6 = load(k, d, p, r + 6, 0)
                for i in range(y.shape[1]):
                    for j in range(y.shape[2]):
                        w, at = load(y, n, i, j, d * lanes), j * c + r
                        a0 = add(a0, x, n, i + p, at, w)
                        a1 = add(a1, x, n, i + p, at + 1, w)
                        a2 = add(a2, x, n, i + p, at + 2, w)
                        a3 = add(a3, x, n, i + p, at + 3, w)
                        a4 = add(a4, x, n, i + p, at + 4, w)
                        a5 = add(a5, x, n, i + p, at + 5, w)
                        a6 = add(a6, x, n, i + p, at + 6, w)
                for t, a in enumerate((a0, a1, a2, a3, a4, a5, a6)):
                    store(k, d, p, r + t, 0, a)

    return write_sums, add_products


def vectors(lanes: int, dtype: str) -> tuple[Any, ...]:
    """Numba's operations on some numbers side by side, as registers hold them."""
    number = types.float32 if dtype == "torch.float32" else types.float64
    single = ir.FloatType() if number is types.float32 else ir.DoubleType()
    several = ir.VectorType(single, lanes)

    class Lanes(types.Type):
        """Its instance is the type of such a vector."""

    @register_model(Lanes)
    class LanesModel(models.PrimitiveModel):
        def __init__(self, manager: Any, kind: Any) -> None:
            super().__init__(manager, kind, several)

    vector, size = Lanes(f"{lanes} x {number}"), types.intp

    def place(context, builder, signature, arguments, at=0):  # type: ignore[no-untyped-def]
        kind = signature.args[at]
        array = context.make_array(kind)(context, builder, arguments[at])
        indices = arguments[at + 1 : at + 1 + kind.ndim]
        return cgutils.get_item_pointer(context, builder, kind, array, indices)

    @intrinsic
    def zero(typing):  # type: ignore[no-untyped-def]
        return vector(), lambda *_: ir.Constant(several, None)

    @intrinsic
    def load(typing, array, n, i, j, lane):  # type: ignore[no-untyped-def]
        def generate(context, builder, *call):  # type: ignore[no-untyped-def]
            start = builder.bitcast(
                place(context, builder, *call), several.as_pointer()
            )
            return builder.load(start, align=number.bitwidth // 8)

        return vector(array, size, size, size, size), generate

    @intrinsic
    def store(typing, array, n, i, j, lane, values):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            to = place(context, builder, signature, arguments)
            to = builder.bitcast(to, several.as_pointer())
            builder.store(arguments[5], to, align=number.bitwidth // 8)
            return context.get_dummy_value()

        return types.void(array, size, size, size, size, vector), generate

    @intrinsic
    def add(typing, total, array, n, i, at, values):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            total, *_, values = arguments
            factor = builder.load(place(context, builder, signature, arguments, 1))
            first, index = ir.Constant(several, ir.Undefined), ir.IntType(32)
            first = builder.insert_element(first, factor, index(0))
            everywhere = ir.Constant(ir.VectorType(index, lanes), None)
            factors = builder.shuffle_vector(first, first, everywhere)
            product = builder.fmul(factors, values, flags=["contract"])
            return builder.fadd(product, total, flags=["contract"])

        return vector(vector, array, size, size, size, vector), generate

    return zero, load, store, add


def cost(case: Case) -> Cost:
    """The multiply-adds of the definition, and each value once; nothing is fitted.

    Memory: Y, Z and the packed kernel. With a stride, the cost of `stride_removed` on
    top.
    """
    case, strided, kept = stride_removed(case)
    n = Counts(case)
    phases = (
        Phase("guard", 1, 0),
        *strided,
        Phase("copy", 2, n.X + n.Z + 2 * n.K),
        Phase("matmul", 1, n.Z + n.K + n.Y, n.macs),
    )
    return Cost(phases, VALUE_BYTES * (kept + n.Z + n.K + n.Y))


WAY = Way(
    "direct",
    convolve_direct,
    cost,
    whole_pixels=lambda case: True,
    fits=lambda case: njit is not None,
)
