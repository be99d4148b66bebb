"""Seeds trained as one network, and the measurement of images per second."""

import functools
from contextlib import closing

import pytest
import torch
import torch.nn.functional as F
from mutants import mutant
from torch import nn

from helpers.bench import throughput as bench
from helpers.bench import together as merging
from helpers.bench.together import Together
from helpers.models import CifarNet, FixedNet, LabNet, VariableNet, count_parameters
from helpers.training import Config
from helpers.training import batches as batching

pytestmark = pytest.mark.usefixtures("small_data")


# --- Several networks as one ----------------------------------------------------------

NETWORKS = pytest.mark.parametrize(
    ("network", "image_shape"),
    [
        (FixedNet, (1, 28, 28)),
        (functools.partial(LabNet, channels=(4, 6, 8)), (1, 28, 28)),
        (CifarNet, (3, 32, 32)),
    ],
)


def train(networks, scores_of, batches):
    """Adam on the sum of the losses; a batch is images and labels of every seed."""
    parameters = [p for network in networks for p in network.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    for images, labels in batches:
        pairs = zip(scores_of(images), labels, strict=True)
        optimizer.zero_grad()
        sum(F.cross_entropy(scores, y) for scores, y in pairs).backward()
        optimizer.step()


@NETWORKS
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)]
)
@pytest.mark.parametrize("grouped", [True, False])
def test_training_together_is_training_apart(
    network, image_shape, dtype, tolerance, grouped
):
    torch.manual_seed(0)
    models = [network().to(dtype) for _ in range(3)]
    starts = [nn.utils.parameters_to_vector(model.parameters()) for model in models]
    merged = Together(models, grouped)
    batches = [
        (torch.rand(3, 6, *image_shape, dtype=dtype), torch.randint(10, (3, 6)))
        for _ in range(6)
    ]
    train([merged], lambda images: merged(torch.cat(list(images), dim=1)), batches)
    for number, model in enumerate(models):
        own = [(x[number : number + 1], y[number : number + 1]) for x, y in batches]
        train([model], lambda images, model=model: [model(images[0])], own)
    for apart, together, start in zip(models, merged.split(), starts, strict=True):
        expected = nn.utils.parameters_to_vector(apart.parameters())
        found = nn.utils.parameters_to_vector(together.parameters())
        assert found.dtype == dtype
        assert (expected - found).abs().max() < tolerance
        assert (expected - start).abs().max() > 1e-3


@NETWORKS
@pytest.mark.parametrize("grouped", [True, False])
def test_networks_survive_merging_and_splitting(network, image_shape, grouped):
    models = [network() for _ in range(2)]
    merged = Together(models, grouped)
    assert count_parameters(merged) == 2 * count_parameters(models[0])
    images = torch.rand(2, 5, *image_shape)
    scores = merged(torch.cat(list(images), dim=1))
    for model, split, x, y in zip(models, merged.split(), images, scores, strict=True):
        torch.testing.assert_close(y, model(x))
        pairs = zip(model.parameters(), split.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    with torch.no_grad():  # copies on both ways
        merged.layers[0].bias.zero_()
        assert models[0][0].bias.any() and split[0].bias.any()


def test_strides_and_groups_are_kept():
    def network():
        return nn.Sequential(
            nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), nn.ReLU()
        )

    models = [network(), network()]
    images = torch.rand(2, 5, 4, 9, 9)
    features = Together(models).layers(torch.cat(list(images), dim=1))
    expected = torch.cat([m(x) for m, x in zip(models, images, strict=True)], dim=1)
    torch.testing.assert_close(features, expected)


@pytest.mark.parametrize("options", [{"stride": 2}, {"groups": 2}, {"dilation": 2}])
def test_products_refuse_what_they_do_not_compute(options):
    models = [nn.Sequential(nn.Conv2d(2, 2, 3, **options))] * 2
    with pytest.raises(ValueError, match="use stride, dilation and groups of 1"):
        Together(models, grouped=False)


MISTAKES = [
    ("weight.flip(3, 4)", "weight"),
    ("permute(0, 4, 3, 1, 2)", "permute(0, 4, 3, 2, 1)"),
    ("runs.unfold(2, k_h, 1).transpose(-1, -2)", "runs.unfold(2, k_h, 1)"),
]


@pytest.mark.parametrize(("right", "wrong"), MISTAKES)
def test_a_mistake_in_the_products_is_caught(right, wrong):
    module = mutant(merging, right, wrong)
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 4, 3))
    X, found = torch.rand(5, 2, 6, 5), []
    for network in (model, module.Together([model], grouped=False).layers):
        Y = network(X)
        parameters = [p for name, p in network.named_parameters()]
        found.append([Y, *torch.autograd.grad(Y.square().sum(), parameters)])
    close = [torch.allclose(a, b, atol=1e-4) for a, b in zip(*found, strict=True)]
    assert not all(close)


def test_other_layers_are_refused_by_name():
    with pytest.raises(ValueError, match=r"GlobalPool.* side by side: use Conv2d, Lin"):
        Together([VariableNet(), VariableNet()])


# --- Images per second ----------------------------------------------------------------


def test_operations_are_counted_by_the_formula():
    forward = [
        (28 * 28, 9 * 1 * 16),  # output positions, multiply-adds at each
        (14 * 14, 9 * 16 * 32),
        (7 * 7, 9 * 32 * 64),
        (1, 576 * 10),
    ]
    products = [positions * each for positions, each in forward]
    assert sum(products) == 1_924_992
    expected = 2 * (3 * sum(products) - products[0])
    assert bench.flops_per_image(Config()) == expected


def test_speed_is_work_per_second(monkeypatch):
    clock = iter([0.0, 1.0, 2.0, 4.0, 5.0])  # the last after waiting for a GPU
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    assert bench._speed(iter([10, 20, 30, 40]), seconds=3) == 60 / 5


def test_rate_warms_up_and_gives_back_the_threads():
    events = []

    def work():
        try:
            while True:
                events.append(torch.get_num_threads())
                yield 1
        finally:
            events.append("closed")

    before = torch.get_num_threads()
    bench.rate(work, 2, 1e-9, ready=lambda: events.append("ready"))
    assert events == [2, "ready", 2, "closed"]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("work", "steps"),
    [
        (lambda config: bench.usual_loop(config, workers=0), 100),
        (lambda config: bench.usual_loop(config, workers=1), 100),
        (bench.this_package, 3),
        (lambda config: bench.together(config, networks=2), 100),
    ],
)
def test_every_way_learns_and_counts_its_images(work, steps, monkeypatch):
    losses, images = [], []
    cross_entropy = F.cross_entropy

    def spy(scores, labels, reduction="mean", **options):
        loss = cross_entropy(scores, labels, reduction=reduction, **options)
        images.append(len(labels))
        losses.append(loss.item() / (len(labels) if reduction == "sum" else 1))
        return loss

    monkeypatch.setattr(F, "cross_entropy", spy)
    with closing(work(Config(validation_share=0.0))) as endless:
        counted = sum(next(endless) for _ in range(steps))
    assert counted == sum(images) and len(set(images)) <= 2
    assert losses[0] > 2.2 and sum(losses[-9:]) / 9 < 1.2


def test_per_sample_images_are_those_of_the_batches():
    split = batching.load_data("mnist").train[28]
    image, label = bench.PerSample(split)[5]
    assert torch.equal(image, batching.network_input(split.images[5:6])[0])
    assert label == split.labels[5]


@pytest.mark.slow
@pytest.mark.timing
def test_all_ways_take_turns_in_every_round():
    measured = bench.measure(batch_size=64, rounds=1, seconds=0.02, quiet=True)
    assert len({way.way for way in measured}) == len(measured) == 6 + len(bench.MANY)
    assert all(len(way.images_per_second) == 1 for way in measured)
    assert all(min(way.images_per_second) > 0 for way in measured)
    assert measured[0].multiples_of_usual[0] == measured[1].multiples_of_usual[1] == 1
    assert all(way.share_of_peak > 0 for way in measured)


def test_multiples_and_shares_are_of_the_same_round(monkeypatch):
    answers = {
        "usual_loop 0": [100, 200, 300],
        "usual_loop 2": [50, 400, 100],
        "this_package": [400, 400, 900],
        "together": [200, 200, 300],
        "matrix_products 1": [1e12, 2e12, 1e12],
    }

    def rate(work, threads, seconds):
        function = getattr(work, "func", work)
        arguments = getattr(work, "args", ())
        name = function.__name__
        if name == "usual_loop":
            name += f" {arguments[1]}"
        if name == "matrix_products":
            name += " 1"
        if getattr(work, "keywords", None) == {"grouped": False}:
            return 1
        return answers[name].pop(0)

    monkeypatch.setattr(bench, "rate", rate)
    monkeypatch.setattr(bench, "cpu_count", lambda: 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(bench, "rate_side_by_side", lambda *_: 800)
    monkeypatch.setattr(bench, "flops_per_image", lambda config: 10**9)
    by_way = {way.way: way for way in bench.measure(rounds=3, quiet=True)}
    # Medians of 4, 2 and 3, and of 8, 1 and 9.
    assert by_way["this package"].multiples_of_usual == (3, 8)
    assert by_way["this package"].share_of_peak == pytest.approx(0.4)
    assert by_way["this package"].flops_per_second == 400e9


def test_the_command_prints_one_table_per_batch_size(capsys, monkeypatch):
    rates = (90.0, 100.0, 130.0)
    way = bench.Throughput("this package", 32, 1, rates, (2.5, 3.5), 2e9, 0.25)
    monkeypatch.setattr(bench, "measure", lambda *_: [way])
    bench.main(["--batch-size", "16", "32"])
    printed = capsys.readouterr().out
    assert "Batches of 16" in printed and "Batches of 32" in printed
    line = next(x for x in printed.splitlines() if x.startswith("this package"))
    assert line.split()[2:] == [
        "1",
        "100",
        "(90-130)",
        "2.50",
        "/",
        "3.50",
        "2.0",
        "25%",
    ]


@pytest.mark.parametrize("option", ["--rounds", "--seconds", "--batch-size"])
def test_the_command_refuses_nothing_to_do(option, capsys):
    with pytest.raises(SystemExit) as exit:
        bench.main([option, "0"])
    assert exit.value.code == 2 and "above 0" in capsys.readouterr().err
