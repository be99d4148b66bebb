"""The one definition of loss and of accuracy."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.training.batches import Splits, network_input

BATCH_SIZE = 500


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

    splits: resolution -> images and labels, as the `train` and `test` of a data set.
    Leaves the model in evaluation mode.
    """
    model.eval()
    device = next(model.parameters()).device
    scores, loss_sum, right, sizes = {}, 0.0, {}, {}
    for resolution, split in splits.items():
        labels = split.labels.to(device)
        scores[resolution] = torch.cat(
            [
                model(network_input(images.to(device)))
                for images in split.images.split(BATCH_SIZE)
            ]
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
