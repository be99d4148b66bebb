"""A training step that a GPU repeats by itself, without being told every operation."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Size, Tensor

Step = Callable[[Tensor, Tensor], Tensor]  # images, labels -> loss

# As often as libraries may choose algorithms or take memory that they then keep.
WARM_UP = 3


class GraphedStep:
    """A step on a CUDA device, captured as a graph for each shape of its images.

    The networks of this report are so small that telling the GPU what to do takes
    longer than doing it. The first steps run as they are; the next one is captured, and
    from then on only replayed on other images. The returned tensor is overwritten by
    the next step. See https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.seen: Counter[Size] = Counter()
        self.captured: dict[Size, tuple[torch.cuda.CUDAGraph, Tensor, Tensor, Tensor]]
        self.captured = {}

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        shape = images.shape
        if shape not in self.captured:
            if self.seen[shape] < WARM_UP:
                self.seen[shape] += 1
                return self.step(images, labels)
            self.captured[shape] = self._capture(images.clone(), labels.clone())
        graph, static_images, static_labels, loss = self.captured[shape]
        static_images.copy_(images)
        static_labels.copy_(labels)
        graph.replay()
        return loss

    def _capture(
        self, images: Tensor, labels: Tensor
    ) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor, Tensor]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
            loss = self.step(images, labels)
        return graph, images, labels, loss
