"""The one definition of loss and of accuracy."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.training.batches import Splits, network_input

BATCH_SIZE = {"cpu": 500, "cuda": 5000}  # what a cache holds; what fills a GPU


class Evaluation(NamedTuple):
    """What a network makes of some images; scores: resolution -> (samples, classes)."""

    loss: float
    accuracy: float
    accuracy_by_resolution: dict[int, float]
    scores: dict[int, Tensor]


def summed_loss(
    scores: Tensor, labels: Tensor, loss: str, label_smoothing: float = 0.0
) -> Tensor:
    """Sum of the losses of the samples; `loss` as in `Config`.

    scores: (samples, classes). labels: int64, (samples,).
    """
    if loss == "cross-entropy":
        return F.cross_entropy(
            scores, labels, reduction="sum", label_smoothing=label_smoothing
        )
    targets = F.one_hot(labels, scores.shape[1]).to(scores.dtype)
    questions = F.binary_cross_entropy_with_logits(scores, targets, reduction="sum")
    return questions / scores.shape[1]


@torch.no_grad()
def evaluate(
    model: nn.Module, splits: Splits, loss: str = "cross-entropy"
) -> Evaluation:
    """Loss per sample, accuracy and scores, without label smoothing.

    splits: resolution -> images and labels, as the `train` and `test` of a data set;
    images are uint8, from 0 to 255, and divided here. Leaves the model in evaluation
    mode. Raises ValueError for other images or labels, and where there are none.
    """
    _check(splits)
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    scores, loss_sum, right, sizes = {}, 0.0, {}, {}
    for resolution, split in splits.items():
        if not len(split.labels):
            continue
        labels = split.labels.to(device)
        scores[resolution] = torch.cat(
            [
                model(network_input(images.to(device)))
                for images in split.images.split(BATCH_SIZE[device.type])
            ]
        )
        if labels.max() >= scores[resolution].shape[1]:
            raise ValueError(
                f"the labels of {resolution} px go up to {labels.max()}: the network "
                f"tells {scores[resolution].shape[1]} classes apart, from 0 on"
            )
        loss_sum += summed_loss(scores[resolution].double(), labels, loss).item()
        right[resolution] = (scores[resolution].argmax(1) == labels).sum().item()
        sizes[resolution] = len(labels)
    samples = sum(sizes.values())
    return Evaluation(
        loss=loss_sum / samples,
        accuracy=sum(right.values()) / samples,
        accuracy_by_resolution={r: right[r] / sizes[r] for r in sizes},
        scores=scores,
    )


def _check(splits: Splits) -> None:
    if not sum(len(split.labels) for split in splits.values()):
        raise ValueError("there are no images to evaluate: give one or more")
    for resolution, split in splits.items():
        images, labels = split.images, split.labels
        if images.dtype != torch.uint8 or images.dim() != 4:
            raise ValueError(
                f"the images of {resolution} px are {images.dtype} of shape "
                f"{tuple(images.shape)}: give uint8 (samples, channels, height, "
                "width), from 0 to 255, which evaluate divides by 255"
            )
        if labels.shape != (len(images),):
            raise ValueError(
                f"{len(images)} images of {resolution} px came with labels of shape "
                f"{tuple(labels.shape)}: give one label for each"
            )
        if labels.dtype != torch.int64 or (len(labels) and labels.min() < 0):
            raise ValueError(
                f"the labels of {resolution} px are {labels.dtype}, from "
                f"{labels.min()} on: give int64, the number of each class from 0 up"
            )
