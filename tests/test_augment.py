"""Transforms against torchvision, draw by draw and in distribution; seeds; refusals."""

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as reference

from helpers import augment
from helpers.augment import TRANSFORMS

BILINEAR = InterpolationMode.BILINEAR
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]

# Options with which nearly every image of a batch comes out differently.
STRONG = {
    "affine": {"degrees": 40, "translate": 0.2, "scale": (0.7, 1.4), "shear": 20},
    "perspective": {"distortion_scale": 0.5, "probability": 1},
    "blur": {"kernel_size": 5, "sigma": (0.3, 2)},
    "elastic": {"alpha": 40, "sigma": 0.8},
    "erase": {"probability": 1, "scale": (0.05, 0.4), "ratio": (0.3, 3)},
    "brightness_contrast": {"brightness": 0.8, "contrast": 0.8},
    "flip": {"probability": 0.5},
    "shift": {"pixels": 4},
}


def seeded(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def noise(batch=12, channels=1, height=17, width=14):
    """Images that reach their borders."""
    return torch.rand(batch, channels, height, width, generator=seeded(1))


HEIGHT, WIDTH = 24, 32


def digit():
    """A seven with a dot, on black: no symmetry, and height and width differ."""
    image = torch.zeros(1, HEIGHT, WIDTH)
    image[:, 4:7, 10:22] = 1
    for row in range(7, 20):
        right = 22 - (row - 7) // 2
        image[:, row, right - 3 : right] = 0.9
    image[:, 15:17, 9:11] = 0.6
    return image


@pytest.fixture
def draws(monkeypatch):
    """The random numbers that a transform has drawn, in their order."""
    found, uniform = [], augment._uniform

    def recorded(*arguments):
        found.append(uniform(*arguments))
        return found[-1]

    monkeypatch.setattr(augment, "_uniform", recorded)
    return found


def assert_same(changed, expected):
    torch.testing.assert_close(changed, torch.stack(expected), atol=3e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_affine_makes_of_its_draws_what_torchvision_makes(draws, channels):
    images = noise(channels=channels)
    changed = augment.affine(images, seeded(), **STRONG["affine"])
    angles, right, down, factors, shears = (draw.tolist() for draw in draws)
    expected = [
        reference.affine(
            image,
            angles[i],
            [round(right[i]), round(down[i])],
            factors[i],
            [shears[i], 0.0],
            BILINEAR,
        )
        for i, image in enumerate(images)
    ]
    assert_same(changed, expected)


def test_perspective_makes_of_its_draws_what_torchvision_makes(draws):
    images = noise()
    changed = augment.perspective(images, seeded(), distortion_scale=0.6)
    chosen, offsets = draws
    bottom, right = images.shape[2] - 1, images.shape[3] - 1
    # A share of 0.6 of 14 // 2 columns, and of 17 // 2 rows: at most 4 pixels each.
    offsets = (offsets * 5).floor().int().tolist()
    expected = []
    for i, image in enumerate(images):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = offsets[i]
        start = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
        end = [[ax, ay], [right - bx, by], [right - cx, bottom - cy], [dx, bottom - dy]]
        moved = reference.perspective(image, start, end, BILINEAR)
        expected.append(moved if chosen[i] < 0.5 else image)
    assert_same(changed, expected)
    assert 2 < (chosen < 0.5).sum() < 10


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_blur_makes_of_its_draws_what_torchvision_makes(draws, kernel_size):
    images = noise(channels=3)
    changed = augment.blur(images, seeded(), kernel_size=kernel_size, sigma=(0.2, 3))
    sigmas = draws[0].tolist()
    assert_same(
        changed,
        [
            reference.gaussian_blur(image, [kernel_size] * 2, [sigma] * 2)
            for image, sigma in zip(images, sigmas, strict=True)
        ],
    )


@pytest.mark.parametrize(("sigma", "kernel_size"), [(1.5, 13), (0.9, 9), (0.1, 1)])
def test_elastic_makes_of_its_draws_what_torchvision_makes(draws, sigma, kernel_size):
    images = noise()
    changed = augment.elastic(images, seeded(), alpha=30.0, sigma=sigma)
    smooth = reference.gaussian_blur(draws[0], [kernel_size] * 2, [sigma] * 2)
    displacement = smooth * 30 / torch.tensor([14, 17]).view(2, 1, 1)
    expected = [
        reference.elastic(image, field.permute(1, 2, 0)[None], BILINEAR)
        for image, field in zip(images, displacement, strict=True)
    ]
    assert_same(changed, expected)


def test_erase_makes_of_its_draws_what_torchvision_makes(draws):
    images = noise(batch=200, channels=3)
    changed = augment.erase(
        images, seeded(), probability=0.7, scale=(0.1, 0.9), ratio=(0.2, 5)
    )
    shares, logarithms, chosen, down, right = (draw.tolist() for draw in draws)
    expected, refused = [], 0
    for i, image in enumerate(images):
        for share, logarithm in zip(shares[i], logarithms[i], strict=True):
            area, ratio = share * 17 * 14, math.exp(logarithm)
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if h < 17 and w < 14:
                break
            refused += 1
        top, left = int(down[i][0] * (17 - h + 1)), int(right[i][0] * (14 - w + 1))
        erased = reference.erase(image, top, left, h, w, torch.zeros(1))
        expected.append(erased if chosen[i] < 0.7 else image)
    assert torch.equal(changed, torch.stack(expected))
    assert refused > 20


def test_erase_leaves_an_image_in_which_nothing_fits():
    images = noise()
    changed = augment.erase(images, seeded(), probability=1, scale=(1, 1))
    assert torch.equal(changed, images)


@pytest.mark.parametrize("channels", [1, 3])
def test_brightness_contrast_makes_of_its_draws_what_torchvision_makes(draws, channels):
    images = noise(channels=channels)
    changed = augment.brightness_contrast(
        images, seeded(), brightness=0.6, contrast=1.3
    )
    brightness, contrast, order = (draw.tolist() for draw in draws)
    expected = []
    for i, image in enumerate(images):
        steps = [
            (reference.adjust_brightness, brightness[i]),
            (reference.adjust_contrast, contrast[i]),
        ]
        for function, factor in steps if order[i] < 0.5 else reversed(steps):
            image = function(image, factor)
        expected.append(image)
    assert_same(changed, expected)
    assert min(brightness) >= 0.4 and min(contrast) >= 0


def test_flip_and_shift_make_of_their_draws_what_torchvision_makes(draws):
    images = noise(channels=3)
    flipped = augment.flip(images, seeded())
    shifted = augment.shift(images, seeded(), pixels=5)
    chosen, corners = draws
    corners = (corners[:, :, 0] * 11).floor().int().tolist()
    assert torch.equal(
        flipped,
        torch.stack(
            [
                reference.hflip(image) if draw < 0.5 else image
                for image, draw in zip(images, chosen, strict=True)
            ]
        ),
    )
    crops = [
        reference.crop(reference.pad(image, [5]), top, left, 17, 14)
        for image, (left, top) in zip(images, corners, strict=True)
    ]
    assert torch.equal(shifted, torch.stack(crops))


def features(images):
    """Pixels, their squares, and first and second moments of the centre of mass."""
    images = images.double()
    mass = images.sum((1, 2, 3)) + 1e-9
    x, y = (
        (images.sum((1, other)) @ (torch.arange(size) - (size - 1) / 2).double()) / mass
        for size, other in ((WIDTH, 2), (HEIGHT, 3))
    )
    moments = torch.stack([mass, mass**2, x, y, x**2, y**2, x * y], 1)
    return torch.cat([images.flatten(1), images.flatten(1) ** 2, moments], 1)


DISTRIBUTIONS = {
    "rotation": (
        ("affine", {"degrees": 30}),
        v2.RandomRotation(30, interpolation=BILINEAR),
    ),
    "affine": (
        ("affine", STRONG["affine"]),
        v2.RandomAffine(40, (0.2, 0.2), (0.7, 1.4), 20, interpolation=BILINEAR),
    ),
    "perspective": (("perspective", {}), v2.RandomPerspective()),
    "blur": (("blur", {}), v2.GaussianBlur(3)),
    "elastic": (("elastic", {}), v2.ElasticTransform()),
    "erase": (("erase", {}), v2.RandomErasing()),
    "brightness and contrast": (
        ("brightness_contrast", {"brightness": 0.6, "contrast": 1.3}),
        v2.ColorJitter(brightness=0.6, contrast=1.3, saturation=0.5, hue=0.2),
    ),
    "flip": (("flip", {"probability": 0.3}), v2.RandomHorizontalFlip(0.3)),
    "shift": (("shift", {"pixels": 3}), v2.RandomCrop((HEIGHT, WIDTH), padding=3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", DISTRIBUTIONS)
def test_distribution_is_that_of_torchvision(case):
    # All of torchvision's own defaults, `fill=0` among them: the margin is black.
    step, transform = DISTRIBUTIONS[case]
    batch = digit().expand(6000, 1, HEIGHT, WIDTH)
    ours = features(augment.augment(batch, [step], seeded(2)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        theirs = features(torch.stack([transform(digit()) for _ in range(3000)]))
    variance = ours.var(0) / len(ours) + theirs.var(0) / len(theirs)
    # Differences of means in standard errors; 1e-6 is there for float32's rounding.
    errors = (ours.mean(0) - theirs.mean(0)) / (variance + 1e-12).sqrt()
    # A pixel that is hardly ever lit has a mean that is far from normal.
    often = (torch.cat([ours, theirs]).abs() > 1e-6).double().mean(0) > 0.05
    assert errors[often].abs().max() < 4.5
    assert (ours.std(0)[often] > 1e-3).sum() > 100


def displacements(images):
    """How far to the right, and how far down, the brightest pixel of each has moved."""
    height, width = images.shape[2:]
    places = images.flatten(1).argmax(1)
    return set((places % width - width // 2).tolist()), set(
        (places // width - height // 2).tolist()
    )


def test_shifts_reach_as_far_as_torchvisions_to_each_side():
    point = torch.zeros(1, 20, 40)
    point[:, 10, 20] = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transform = v2.RandomAffine(0, translate=(0.2, 0.2))
        theirs = displacements(torch.stack([transform(point) for _ in range(500)]))
    images = point.expand(500, 1, 20, 40)
    ours = displacements(augment.affine(images, seeded(), translate=0.2))
    assert ours == theirs == (set(range(-8, 9)), set(range(-4, 5)))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_seed_alone_decides_and_each_image_has_its_own_draw(name, device):
    batch = noise(1, 3).expand(16, 3, 17, 14).to(device)

    def changed(seed):
        return TRANSFORMS[name](batch, seeded(seed, device), **STRONG[name])

    torch.manual_seed(4)
    state = torch.random.get_rng_state()
    first = changed(5)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(6)
    assert torch.equal(first, changed(5))
    assert not torch.equal(first, changed(7))
    different = first.flatten(1).unique(dim=0)
    assert len(different) == 2 if name == "flip" else len(different) >= 13


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(TRANSFORMS)),
    strong=st.booleans(),
    batch=st.integers(0, 3),
    channels=st.sampled_from([1, 3]),
    height=st.integers(21, 40),
    width=st.integers(21, 40),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    white=st.booleans(),
    device=st.sampled_from(DEVICES),
)
def test_form_layout_and_range_are_kept(
    name, strong, batch, channels, height, width, layout, white, device
):
    images = noise(batch, channels, height, width).to(device)
    images = torch.ones_like(images) if white else images
    images = images.contiguous(memory_format=layout)
    before = images.clone()
    options = STRONG[name] if strong else {}
    changed = TRANSFORMS[name](images, seeded(8, device), **options)
    assert changed.shape == images.shape and changed.dtype == torch.float32
    assert changed.device == images.device and changed.stride() == images.stride()
    assert ((changed >= 0) & (changed <= 1)).all()
    assert torch.equal(images, before) and changed is not images


def test_perspective_of_the_strongest_distortion_stays_finite():
    # Three corners come to lie on one line, for which no perspective exists.
    images = torch.ones(5000, 1, 4, 4)
    changed = augment.perspective(images, seeded(), distortion_scale=1.0, probability=1)
    assert changed.isfinite().all()


def test_affine_changes_the_share_of_images_that_it_is_told():
    images = noise(batch=400)
    options = {"degrees": 20, "translate": 0.1}
    all_changed = augment.affine(images, seeded(), **options)
    changed = augment.affine(images, seeded(), **options, probability=0.5)
    untouched = (changed == images).flatten(1).all(1)
    assert 150 < untouched.sum() < 250
    assert torch.equal(changed[~untouched], all_changed[~untouched])


def test_augment_takes_the_steps_in_order_from_one_generator():
    images, generator = noise(), seeded()
    steps = [("shift", {"pixels": 2}), ["affine", {"scale": [0.8, 1.2]}], ("flip", {})]
    expected = augment.shift(images, generator, pixels=2)
    expected = augment.affine(expected, generator, scale=(0.8, 1.2))
    expected = augment.flip(expected, generator)
    assert torch.equal(augment.augment(images, steps, seeded()), expected)
    assert torch.equal(augment.augment(images, [], seeded()), images)


def test_every_option_has_a_rule_that_its_default_keeps():
    for name, transform in TRANSFORMS.items():
        assert getattr(augment, name) is transform and transform.__doc__
        parameters = list(inspect.signature(transform).parameters.values())
        assert [p.name for p in parameters[:2]] == ["images", "generator"]
        defaults = {p.name: p.default for p in parameters[2:]}
        assert list(defaults) == list(augment._RULES[name])
        augment.check([(name, defaults)])


REFUSED = [
    (("rotate", {}), "unknown transform 'rotate': use affine, blur, brightness"),
    (("affine", {"angle": 3}), "affine has no option 'angle': use degrees, translate"),
    (
        ("affine", {"degrees": -3}),
        "degrees of affine is -3: use a number from 0 to 180",
    ),
    (("affine", {"degrees": True}), "is True: use a number from 0 to 180"),
    (("affine", {"degrees": (0, 3)}), r"is \(0, 3\): use a number from 0 to 180"),
    (("affine", {"translate": 2}), "is 2: use a number from 0 to 1"),
    (("affine", {"scale": (0, 1)}), r"is \(0, 1\): use two numbers above 0, the sm"),
    (("affine", {"scale": (2, 1)}), "two numbers above 0, the smaller one first"),
    (("affine", {"scale": 1.1}), "two numbers above 0, the smaller one first"),
    (("affine", {"shear": 90}), "is 90: use a number from 0 to 89"),
    (("perspective", {"distortion_scale": 1.5}), "use a number from 0 to 1"),
    (("perspective", {"probability": math.nan}), "is nan: use a number from 0 to 1"),
    (("blur", {"kernel_size": 4}), "is 4: use an odd whole number from 1 up"),
    (("blur", {"kernel_size": -1}), "is -1: use an odd whole number from 1 up"),
    (("blur", {"sigma": (1, math.inf)}), "two numbers above 0"),
    (("elastic", {"alpha": -1}), "is -1: use a number from 0 up"),
    (("elastic", {"sigma": 0}), "is 0: use a number above 0"),
    (("erase", {"scale": (0.1, 1.5)}), "two numbers above 0 and at most 1"),
    (("brightness_contrast", {"contrast": "1"}), "is '1': use a number from 0 up"),
    (("flip", {"probability": -0.1}), "is -0.1: use a number from 0 to 1"),
    (("shift", {"pixels": 1.5}), "is 1.5: use a whole number from 0 up"),
    (("shift", {"pixels": -1}), "is -1: use a whole number from 0 up"),
    ("affine", "the step 'affine' is not a pair of a name and options"),
    (("affine", 15), r"the step \('affine', 15\) is not a pair"),
]


@pytest.mark.parametrize(("step", "message"), REFUSED)
def test_what_is_not_allowed_is_refused_with_and_without_images(step, message):
    with pytest.raises(ValueError, match=message):
        augment.check([("flip", {}), step])
    with pytest.raises(ValueError, match=message):
        augment.augment(noise(), [("flip", {}), step], seeded())


def test_a_transform_called_by_itself_refuses_as_well():
    with pytest.raises(ValueError, match="flip has no option 'chance': use probab"):
        augment.flip(noise(), seeded(), chance=1)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (noise().to(torch.uint8), r"torch.uint8 of shape \(12, 1, 17, 14\): use fl"),
        (noise()[0], r"torch.float32 of shape \(1, 17, 14\): use float32 \(batch, ch"),
        (noise()[:, :, :0], r"shape \(12, 1, 0, 14\): use .*, with pixels"),
        (noise() * 255, r"have values from .* to 25\d.*: use values from 0 to 1"),
        (noise() - 0.5, r"have values from -0.* use values from 0 to 1"),
        (noise() / 0, "to inf: use values from 0 to 1"),
    ],
)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_other_images_are_refused(name, images, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS[name](images, seeded())


@pytest.mark.parametrize("number", [np.float32, np.float64, torch.tensor, np.array])
def test_numbers_of_every_library_are_numbers(number):
    options = {"degrees": 15.0, "translate": 0.25, "scale": (0.5, 1.5)}
    foreign = {
        "degrees": number(15.0),
        "translate": number(0.25),
        "scale": [number(0.5), number(1.5)],
    }
    expected = augment.affine(noise(), seeded(), **options)
    assert torch.equal(augment.affine(noise(), seeded(), **foreign), expected)
    for whole in (np.int64(3), torch.tensor(3), np.array(3)):
        expected = augment.shift(noise(), seeded(), pixels=3)
        assert torch.equal(augment.shift(noise(), seeded(), pixels=whole), expected)
    with pytest.raises(ValueError, match="use a number from 0 to 180"):
        augment.affine(noise(), seeded(), degrees=number(float("nan")))


def test_a_gaussian_that_is_too_wide_and_odd_channels_are_refused():
    with pytest.raises(ValueError, match="29 pixels is too wide for images of 17 x 14"):
        augment.blur(noise(), seeded(), kernel_size=29)
    augment.blur(noise(), seeded(), kernel_size=27)
    with pytest.raises(ValueError, match="or sigma, to 27 pixels at most"):
        augment.elastic(noise(), seeded(), sigma=5.0)
    with pytest.raises(ValueError, match="images of 2 channels: use grey ones"):
        augment.brightness_contrast(noise(channels=2), seeded())


def test_a_mirrored_shift_shows_the_images_own_edge():
    images = torch.rand(40, 3, 9, 7)
    steps = [("shift", {"pixels": 2, "border": "mirror"})]
    moved = augment.augment(images, steps, torch.Generator().manual_seed(3))
    edges = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="symmetric")
    windows = [
        torch.from_numpy(edges[:, :, row : row + 9, column : column + 7])
        for row in range(5)
        for column in range(5)
    ]
    found = torch.stack([(moved - w).abs().amax((1, 2, 3)) < 1e-6 for w in windows])
    assert found.any(0).all() and found.any(1).sum() > 15
