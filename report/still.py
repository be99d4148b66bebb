"""Still figures of what moves on the page, in the state that it begins with.

They stand in the PDF, and on the page where scripts are off. What they show is computed
anew by torch, from report/page/pictures.json, as the page computes it in the browser.
"""

from dataclasses import dataclass
from functools import cache
from io import BytesIO

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from helpers import compact, figures
from helpers.drawings import convolution as drawings
from report import script, weights


@dataclass(frozen=True)
class Still:
    """A picture (SVG) that is `width` inches wide, its caption and its description."""

    picture: bytes
    width: float
    caption: str
    alt: str


@cache
def still(part: str) -> Still:
    """Return the still figure of a part of pictures.json.

    Raises KeyError for a part that is not there.
    """
    start = script.PICTURES["starts"][part]
    draw = _reading if "digit" in start else _convolution
    figures.use_house_style()
    figure, caption, alt = draw(part, start)
    buffer = BytesIO()
    width = figure.get_size_inches()[0]
    figure.savefig(buffer, format="svg")
    plt.close(figure)
    return Still(compact.picture(buffer.getvalue(), "svg"), width, caption, alt)


def _convolution(part: str, start: dict) -> tuple[Figure, str, str]:
    image, kernel = (
        torch.tensor(script.PICTURES[kind][start[name]], dtype=torch.float64)
        for kind, name in (("pictures", "picture"), ("kernels", "kernel"))
    )
    how = {name: start[name] for name in ("stride", "padding", "dilation")}
    image.requires_grad_(), kernel.requires_grad_()
    output = F.conv2d(image[None, None], kernel[None, None], **how)[0, 0]
    row, column = start["at"]
    size = how["dilation"] * 2 + 1
    corner = (
        row * how["stride"] - how["padding"],
        column * how["stride"] - how["padding"],
    )
    window = drawings.window(*corner, size, size)
    if part == "forward":
        shown = {"image": image, "kernel": kernel, "output": output}
        shaded = {"image": window, "output": [(row, column)]}
        caption = "the window at its place, and the output that it makes there."
    else:
        gradient = torch.zeros_like(output)
        gradient[row, column] = 1
        output.backward(gradient)
        assert image.grad is not None and kernel.grad is not None
        shown = {
            "gradient at the output": gradient,
            "gradient of the image": image.grad,
            "gradient of the kernel": kernel.grad,
        }
        shaded = {"gradient at the output": [(row, column)]}
        shaded["gradient of the image"] = window
        caption = "one output has a gradient: what pixels and kernel receive of it."
    widths = [table.shape[1] for table in shown.values()]
    figure, axes = plt.subplots(1, len(shown), figsize=(4.0, 1.5), width_ratios=widths)
    for place, (name, table) in zip(axes, shown.items(), strict=True):
        colour = figures.COLOURS["output" if "output" in name else "input"]
        title = name.replace(" the ", "\nthe ")  # as narrow as the table below it
        drawings.numbers(
            place, table.detach(), title, colour, shaded.get(name, ()), size=6
        )
    return (
        figure,
        f"To be moved on the page: {caption}",
        f"Tables of numbers, {', '.join(shown)}; the window at row {row + 1}, column "
        f"{column + 1} is shaded.",
    )


def _reading(part: str, start: dict) -> tuple[Figure, str, str]:
    digit, size, canvas = start["digit"], start["size"], start["canvas"]
    image = torch.from_numpy(weights.digits()[digit]).double()[None, None] / 255
    image = F.interpolate(image, size, mode="bilinear", antialias=True)
    before = (canvas - size) // 2
    rest = canvas - size - before
    image = F.pad(image, (before, rest, before, rest)).roll(start["shift"], (2, 3))
    small = F.interpolate(image, 28, mode="bilinear", antialias=True)
    networks = {name: weights.network(name) for name in weights.NETWORKS}
    with torch.no_grad():
        shares = {
            name: network(small if weights.takes_one_size(name) else image)[0].softmax(
                0
            )
            for name, network in networks.items()
        }
        map_of = networks["any size, maximum"][:3](image)[0]
    figure = plt.figure(figsize=(5.8, 1.4))
    grid = figure.add_gridspec(1, 3, width_ratios=[1, 1.3, 2.4])
    axes = [figure.add_subplot(grid[column]) for column in range(3)]
    figures.image(axes[0], image[0, 0].numpy(), f"{canvas} pixels", cmap="Blues")
    axes[1].imshow(
        torch.stack([*shares.values()]).numpy(),
        cmap="Greens",
        vmin=0,
        vmax=1,
        aspect="auto",
    )
    axes[1].set_yticks(range(len(shares)), shares, fontsize=6)
    axes[1].set_xticks(range(10), map(str, range(10)), fontsize=6)
    axes[1].set_title("shares of the answers")
    rows = map_of.unflatten(0, (2, 8)).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    figures.image(axes[2], rows.numpy(), "maps of the first block", cmap="Blues")
    read = ", ".join(f"{name}: {share.argmax()}" for name, share in shares.items())
    return (
        figure,
        f"To be moved on the page: a digit on {canvas} pixels, read by seven networks.",
        f"A digit; a table of shares, the largest of them {read}; sixteen maps.",
    )
