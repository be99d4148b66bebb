"""Where Fourier beats the library: by size of the kernel and number of channels.

`python -m helpers.bench.fourier` measures anew, writes the record, prints the map.
"""

import itertools
import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from helpers import bench, ways
from helpers.device import keep_freed_memory

NAME = "fourier"
KERNEL_SIZES, CHANNELS = (3, 5, 9, 15, 21), (2, 4, 8, 16, 32)
BATCH, SIZE, ROUNDS = 4, 48, 5


def case(kernel_size: int, channels: int) -> ways.Case:
    """As many channels in as out, and the padding that keeps the size."""
    return ways.Case(
        BATCH, channels, SIZE, kernel_size, channels, padding=kernel_size // 2
    )


CASES = tuple(case(k, c) for c in CHANNELS for k in KERNEL_SIZES)


@dataclass(frozen=True)
class Map:
    """Forward time of Fourier over the library's: (kernel size, channels) -> ratio.

    predicted: by the model, see `ways.library`; `where` says on which machine and day,
    in words.
    """

    measured: dict[tuple[int, int], float]
    predicted: dict[tuple[int, int], float]
    where: str = ""

    def agreeing(self) -> int:
        """In how many places both say the same of which is faster."""
        return sum(
            (self.measured[at] < 1) == (self.predicted[at] < 1) for at in self.measured
        )

    def crossovers(self, of: Mapping[tuple[int, int], float]) -> dict[int, float]:
        """Channels -> side of the kernel where the ratio is 1, between those measured.

        On axes that are both logarithmic; without a change of sign there is none.
        """
        found = {}
        for channels in CHANNELS:
            for small, large in itertools.pairwise(KERNEL_SIZES):
                before, after = of[small, channels], of[large, channels]
                if before >= 1 > after:
                    share = math.log(before) / math.log(before / after)
                    found[channels] = small * (large / small) ** share
        return found


def recorded() -> Map:
    """Return what was recorded, or measure it, which takes a minute."""
    return _map(bench.recorded(NAME, _settings(), measure))


def measure() -> dict[str, Any]:
    """Measure the speeds of the machine, and Fourier and the library on all cases.

    Freed memory is kept, as the model does not know of fetching it anew.
    """
    keep_freed_memory()
    return {
        "machines": [asdict(machine) for machine in ways.measure_machine(ROUNDS)],
        "ratios": [_ratio(case) for case in CASES],
    }


def _ratio(case: ways.Case) -> float:
    """Forward time of Fourier over the library's in its faster layout, a median."""
    calls = {way: ways.passes(case, way)[0] for way in (*ways.REFERENCES, "FFT")}
    taken = ways.take_turns(calls, ROUNDS)
    library = min((taken[way] for way in ways.REFERENCES), key=statistics.median)
    return ways.spread(a / b for a, b in zip(taken["FFT"], library, strict=True)).median


def _settings() -> list[dict[str, Any]]:
    return [asdict(case) for case in CASES]


def _map(record: bench.Record) -> Map:
    machine = ways.typical([ways.Machine(**m) for m in record.values["machines"]])
    places = [(case.kernel_size, case.in_channels) for case in CASES]
    predicted = [
        ways.predict(case, "FFT").seconds(machine)
        / ways.library(case, machine).seconds(machine)
        for case in CASES
    ]
    return Map(
        dict(zip(places, record.values["ratios"], strict=True)),
        dict(zip(places, predicted, strict=True)),
        str(record),
    )


def main() -> None:
    """Measure, record, and print measured and predicted ratios."""
    found = _map(bench.renew(NAME, _settings(), measure))
    print(f"Measured on {found.where}")
    print("Time of Fourier over the library's, forward: measured (predicted)")
    print("channels" + "".join(f"{f'{k} x {k}':>16}" for k in KERNEL_SIZES))
    for c in CHANNELS:
        cells = (
            f"{found.measured[k, c]:.2f} ({found.predicted[k, c]:.2f})"
            for k in KERNEL_SIZES
        )
        print(f"{c:8}" + "".join(f"{cell:>16}" for cell in cells))
    print(
        f"The model names the faster one in {found.agreeing()} of {len(CASES)} places."
    )


if __name__ == "__main__":
    main()
