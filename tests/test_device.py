"""The device: memory that is freed is used again."""

import subprocess
import sys

import pytest

from helpers.device import keep_freed_memory

MEASURE = """
import resource, torch
from helpers.device import keep_freed_memory

if {keep}:
    assert keep_freed_memory()


def faults_of_a_step():
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(12_000_000) for _ in range(3)]  # 48 MB each
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults


print([faults_of_a_step() for _ in range(8)][-1])
"""


def page_faults(keep):
    """How often the system hands out a page when a step is done once more."""
    command = [sys.executable, "-c", MEASURE.format(keep=keep)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.machine
@pytest.mark.skipif(not keep_freed_memory(), reason="needs GNU's allocator")
def test_freed_memory_is_kept():
    assert page_faults(keep=True) < page_faults(keep=False) / 2
