"""The script of the page: its numbers, finding one's way, what a question finds."""

import base64
import hashlib
import itertools
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
import torch
from browser import MISSING as NO_BROWSER
from browser import started as start_browser
from nbformat.v4 import new_notebook
from PIL import Image
from safetensors.torch import load_file
from test_report import chapters, code, figure, png, sample, text
from torch.nn.functional import avg_pool2d, conv2d, interpolate
from torch.nn.functional import unfold as torch_unfold

from helpers import data, runs
from helpers.exercises import EXERCISES
from report import exercises, html, project, script, weights
from report.document import Document

QUESTIONS = Path(__file__).parent / "data" / "questions.toml"
CASES = 1000


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright")
    with start_browser() as started:
        if started is None:
            pytest.skip(NO_BROWSER)
        yield started


@pytest.fixture(scope="module")
def small_page(tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(html.write(sample()), "utf-8")
    return file


@pytest.fixture
def opened(browser, small_page):
    """The small page in a new window without a network; it must not complain."""
    context = browser.new_context(
        offline=True,
        viewport={"width": 1280, "height": 800},
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(small_page.as_uri())
    yield page
    assert complaints == []
    context.close()


# --- The script in the page -----------------------------------------------------------


def test_the_policy_allows_this_script_alone_and_no_request(small_page):
    page = small_page.read_text("utf-8")
    (inside,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    policy = re.search('Content-Security-Policy" content="([^"]+)"', page)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
    assert rules.pop("script-src") == f"'sha256-{digest}'"
    assert rules.pop("style-src") == "'unsafe-inline'"
    assert rules == {"default-src": "'none'", "img-src": "data:", "font-src": "data:"}
    assert len(inside.encode()) <= 300_000


def test_every_module_is_in_the_page():
    there = {path.stem for path in script.FOLDER.glob("*.js")}
    assert there == {*script.MODULES, script.START}


def test_without_scripts_nothing_is_promised(browser, small_page):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(small_page.as_uri())
    assert page.get_by_role("search").count() == 0
    assert page.locator("main h2").first.is_visible()
    assert page.locator(".movable noscript").first.is_visible()
    context.close()


# --- A convolution to move ------------------------------------------------------------


def random_case(generator):
    """Settings of a convolution that fits, with what torch makes of it."""

    def draw(low, high):
        return int(torch.randint(low, high + 1, (), generator=generator))

    while True:
        how = {"stride": draw(1, 3), "padding": draw(0, 2), "dilation": draw(1, 2)}
        image = (draw(1, 3), draw(3, 7), draw(3, 7))
        kernel = (draw(1, 2), image[0], draw(1, 3), draw(1, 3))
        if all(
            size + 2 * how["padding"] >= how["dilation"] * (k - 1) + 1
            for size, k in zip(image[1:], kernel[2:], strict=True)
        ):
            break
    options = {"generator": generator, "dtype": torch.float64}
    x = torch.randn(image, **options).requires_grad_()
    w = torch.randn(kernel, **options).requires_grad_()
    output = conv2d(x[None], w, **how)[0]
    gradient = torch.randn(output.shape, **options)
    gradient[torch.rand(output.shape, generator=generator) < 0.5] = 0
    output.backward(gradient)
    tensors = {
        "image": x,
        "kernels": w,
        "gradient": gradient,
        "output": output,
        "unfolded": torch_unfold(x[None], kernel[2:], **how)[0],
        "imageGradient": x.grad,
        "kernelGradients": w.grad,
    }
    return {"how": how} | {name: t.tolist() for name, t in tensors.items()}


DIFFERENCE = """
    const cases = JSON.parse(written);
    let worst = 0;
    const compare = (a, b) => {
        if (!Array.isArray(a)) {
            if (typeof a !== "number" || typeof b !== "number") worst = NaN;
            else worst = Math.max(worst, Math.abs(a - b));
        } else if (a.length !== b.length) worst = NaN;
        else a.forEach((value, n) => compare(value, b[n]));
    };
    for (const c of cases) {
        compare(convolve(c.image, c.kernels, c.how), c.output);
        compare(unfold(c.image, c.kernels, c.how), c.unfolded);
        const found = backward(c.image, c.kernels, c.how, c.gradient);
        compare(found.imageGradient, c.imageGradient);
        compare(found.kernelGradients, c.kernelGradients);
    }
    return worst;
"""


def test_convolution_and_gradients_are_those_of_torch(browser):
    generator = torch.Generator().manual_seed(20)
    cases = [random_case(generator) for _ in range(CASES)]
    page = browser.new_page()
    source = script.source("numbers")
    # As one text: the driver takes half a minute for nested lists.
    worst = page.evaluate(f"written => {{{source}{DIFFERENCE}}}", json.dumps(cases))
    page.close()
    assert worst is not None and worst < 1e-5


@pytest.mark.real
def test_digit_and_learned_kernel_are_those_of_the_data(browser):
    page = browser.new_page()
    source = f"(() => {{ {script.pictures()}; return [PICTURES, KERNELS]; }})()"
    pictures, kernels = page.evaluate(source)
    page.close()
    first = avg_pool2d(data.load("mnist").train[28].images[0].float()[None], 2)[0, 0]
    expected = (first / first.max() * 9).round().int().tolist()
    assert pictures["Digit of MNIST, 14 × 14"] == expected
    (record,) = [r for r in runs.named(runs.RECORDED)["mnist/best"] if r["seed"] == 0]
    learned = load_file(runs.weights_file(record))["0.weight"].view(16, 1, 3, 3)[14, 0]
    shown = torch.tensor(kernels["Learned from MNIST"])
    assert (learned - shown).abs().max() < 0.00501


def numbers(page, part, name):
    """The numbers of the grid of this name."""
    rows = page.locator(f".movable[data-part={part}] .grid").filter(
        has=page.locator(".name", has_text=re.compile(f"^{name}"))
    )
    texts = rows.first.locator("tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return torch.tensor([[float(t.replace("−", "-")) for t in row] for row in texts])


def kernel_of(page, part):
    fields = page.locator(f".movable[data-part={part}] .kernel input")
    values = fields.evaluate_all("all => all.map(field => field.value)")
    return torch.tensor(
        [float(v.replace("−", "-").replace(",", ".")) for v in values]
    ).view(1, 1, 3, 3)


@pytest.mark.parametrize("stride, padding, dilation", [(1, 0, 1), (2, 2, 1), (3, 1, 2)])
def test_what_is_shown_is_what_torch_computes(opened, stride, padding, dilation):
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    for part in ("forward", "backward"):
        box = opened.locator(f".movable[data-part={part}]")
        box.get_by_label("Image", exact=True).and_(box.locator("select")).select_option(
            "Digit of MNIST, 14 × 14"
        )
        for name, value in how.items():
            box.get_by_label(name.title(), exact=True).select_option(str(value))
        box.locator(".kernel input").first.fill("-2,5")
    image = numbers(opened, "forward", "Image")[None, None]
    kernel = kernel_of(opened, "forward").requires_grad_()
    assert kernel[0, 0, 0, 0] == -2.5
    expected = conv2d(image, kernel, **how)
    torch.testing.assert_close(numbers(opened, "forward", "Output"), expected[0, 0])
    torch.testing.assert_close(
        numbers(opened, "forward", "Unfolded"), torch_unfold(image, 3, **how)[0]
    )
    formula = opened.locator(".movable[data-part=forward] .size").text_content()
    assert f"= {expected.shape[-1]}, so" in formula

    opened.get_by_role("button", name="Everywhere").click()
    x = image.clone().requires_grad_()
    conv2d(x, kernel, **how).sum().backward()
    found = numbers(opened, "backward", "Gradient of the image")
    torch.testing.assert_close(found, x.grad[0, 0])
    found = numbers(opened, "backward", "Gradient of the kernel")
    torch.testing.assert_close(found, kernel.grad[0, 0])


def test_the_keyboard_moves_the_window_and_says_where_it_is(opened):
    box = opened.locator(".movable[data-part=forward]")
    box.get_by_role("grid", name="Output").locator("td[tabindex='0']").focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowRight"):
        opened.keyboard.press(key)
    assert (
        box.locator(".sentence").text_content().startswith("Output row 1, column 3: ")
    )
    marked = "[...document.querySelectorAll('.movable[data-part=forward] td.window')]"
    places = opened.evaluate(
        marked + ".map(c => [c.parentElement.rowIndex, c.cellIndex])"
    )
    assert places[:9] == [[i, j] for i in range(3) for j in range(2, 5)]
    assert places[9] == [0, 2]  # the output pixel
    assert [j for _, j in places[10:]] == [2] * 9  # its column of the unfolded matrix
    products = numbers(opened, "forward", "Products").sum()
    assert products == numbers(opened, "forward", "Output")[0, 2]

    back = opened.locator(".movable[data-part=backward]")
    back.get_by_role("grid", name="Gradient at the output").locator(
        "td[tabindex='0']"
    ).focus()
    opened.keyboard.press("Enter")  # takes the gradient away that stands there
    assert numbers(opened, "backward", "Gradient of the image").abs().sum() == 0
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Enter")
    found = numbers(opened, "backward", "Gradient of the image")
    assert torch.equal(found[2:5, 1:4], kernel_of(opened, "backward")[0, 0])


def test_a_window_that_does_not_fit_is_explained(opened):
    box = opened.locator(".movable[data-part=forward]")
    box.get_by_role("grid", name="Image").locator("td").first.focus()
    opened.keyboard.press("7")
    assert numbers(opened, "forward", "Image")[0, 0] == 7
    field = box.locator(".kernel input").first
    field.fill("many")
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("1")
    assert field.get_attribute("aria-invalid") == "false"
    assert numbers(opened, "forward", "Output")[0, 0] == 7 + 9


def test_several_channels_are_added_up(opened):
    channels = 3
    for part in ("forward", "backward"):
        box = opened.locator(f".movable[data-part={part}]")
        box.get_by_label("Image", exact=True).and_(box.locator("select")).select_option(
            "Ramp, 6 × 6"
        )
        box.get_by_label("Channels").select_option(str(channels))
        box.get_by_label("Stride").select_option("2")
        box.locator(".kernel input").nth(9).fill("7")

    def stacked(part, name):
        names = [f"{name}, channel {c + 1}" for c in range(channels)]
        return torch.stack([numbers(opened, part, n) for n in names])[None]

    fields = opened.locator(".movable[data-part=forward] .kernel input")
    values = fields.evaluate_all("all => all.map(field => field.value)")
    kernel = torch.tensor([float(v.replace("−", "-")) for v in values])
    kernel = kernel.view(1, channels, 3, 3).requires_grad_()
    x = stacked("forward", "Image").requires_grad_()
    y = conv2d(x, kernel, stride=2)
    assert torch.equal(numbers(opened, "forward", "Output"), y[0, 0])
    unfolded = torch_unfold(x, 3, stride=2)[0]
    assert torch.equal(numbers(opened, "forward", "Unfolded"), unfolded)
    assert torch.equal(stacked("forward", "Products").sum(), y[0, 0, 1, 1])
    opened.get_by_role("button", name="Everywhere").click()
    y.sum().backward()
    assert torch.equal(stacked("backward", "Gradient of the image"), x.grad)
    assert torch.equal(stacked("backward", "Gradient of the kernel"), kernel.grad)
    # Each column is the share of one output; fold puts them where they came from.
    shares = numbers(opened, "backward", "Shares")[None]
    assert torch.equal(torch.nn.functional.fold(shares, 6, 3, stride=2), x.grad)


def test_one_draws_with_the_mouse(opened):
    box = opened.locator(".movable[data-part=forward]")
    cells = box.get_by_role("grid", name="Image").locator("td")
    cells.nth(0).hover()
    opened.mouse.down()
    for n in (1, 2, 8):
        cells.nth(n).hover()
    opened.mouse.up()
    cells.nth(9).hover()
    assert [cells.nth(n).text_content() for n in (0, 1, 2, 8, 9)] == list("99990")


@pytest.mark.timing
def test_an_update_takes_less_than_a_frame(opened):
    box = opened.locator(".movable[data-part=forward]")
    box.locator("select").first.select_option("Digit of MNIST, 14 × 14")
    times = box.get_by_role("grid", name="Output").evaluate(
        """grid => [...Array(40).keys()].map(n => {
            const start = performance.now();
            grid.dispatchEvent(new KeyboardEvent("keydown",
                { key: n % 2 ? "ArrowLeft" : "ArrowRight", bubbles: true }));
            document.body.getBoundingClientRect();
            return performance.now() - start;
        })"""
    )
    assert sorted(times)[len(times) // 2] < 16


# --- Networks that read a digit -------------------------------------------------------


READ = """async cases => {
    const { networks, digits } = await unpacked(PACKED);
    const found = cases.map(({ image, size, canvas, shift }) => {
        const input = placed(resized(Float64Array.from(image), size), canvas, shift);
        const some = networks.filter(n => canvas === 28 || !takesOneSize(n.name));
        return [[...input], some.map(network => {
            const { maps, scores } = read(network, asMap(input));
            return [network.name, maps.map(map => [...map.values]), scores];
        })];
    });
    return [digits.map(digit => [...digit]), found];
}"""


@pytest.mark.real
def test_networks_of_the_page_compute_what_torch_computes(browser):
    draw = torch.Generator().manual_seed(5)
    settings = [(28, 28, (0, 0)), (28, 28, (3, -5)), (14, 28, (0, 1))]
    settings += [(40, 64, (0, 0)), (56, 40, (-9, 2)), (20, 33, (8, 8))]
    cases = [
        {
            "image": torch.rand(784, generator=draw, dtype=torch.float64).tolist(),
            "size": size,
            "canvas": side,
            "shift": shift,
        }
        for size, side, shift in settings
    ]
    page = browser.new_page()
    source = weights.script() + script.source("numbers", "networks")
    digits, found = page.evaluate(f"cases => {{{source}return ({READ})(cases)}}", cases)
    page.close()
    held = torch.from_numpy(weights.digits()).double() / 255
    torch.testing.assert_close(torch.tensor(digits).double(), held.view(10, 784))
    for case, (image, readings) in zip(cases, found, strict=True):
        size, side, (down, right) = case["size"], case["canvas"], case["shift"]
        drawn = torch.tensor(case["image"], dtype=torch.float64).view(1, 1, 28, 28)
        drawn = interpolate(drawn, size, mode="bilinear", antialias=True)
        expected = torch.zeros(side, side, dtype=torch.float64)
        for i, j in itertools.product(range(size), range(size)):
            row, column = (side - size) // 2 + i + down, (side - size) // 2 + j + right
            if 0 <= row < side and 0 <= column < side:
                expected[row, column] = drawn[0, 0, i, j]
        image = torch.tensor(image, dtype=torch.float64).view(side, side)
        torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)
        for name, maps, scores in readings:
            network = weights.network(name)
            for end, ours in zip((3, 6, 9), maps, strict=True):
                theirs = network[:end](image[None, None]).flatten()
                ours = torch.tensor(ours, dtype=torch.float64)
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
            theirs = network(image[None, None])[0]
            scores = torch.tensor(scores, dtype=torch.float64)
            torch.testing.assert_close(scores, theirs, rtol=0, atol=1e-5)


@pytest.mark.real
@pytest.mark.slow
def test_rounded_weights_read_as_before():
    """Of 2,000 test images at most four get another answer than from exact weights."""
    images = data.load("mnist").test[28].images[:2000].double() / 255
    for name in weights.NETWORKS:
        rounded, exact = weights.network(name), weights.network(name)
        layers = [m for m in exact if hasattr(m, "weight")]
        for layer, (weight, _) in zip(layers, weights.layers(name), strict=True):
            layer.weight.data = torch.from_numpy(weight.astype(float))
        with torch.no_grad():
            other = rounded(images).argmax(1) != exact(images).argmax(1)
        assert other.sum() <= 4, name


@pytest.fixture(scope="module")
def readers_page(tmp_path_factory):
    cells = [text("# Readers"), text("Draw.", tags=["movable-canvas"])]
    document = Document(chapters(**{"01_readers": new_notebook(cells=cells)}))
    file = tmp_path_factory.mktemp("readers") / "report.html"
    file.write_text(html.write(document), "utf-8")
    return file


@pytest.fixture
def reading(browser, readers_page):
    """The page on which networks read a digit, when they have read the first."""
    page = browser.new_page(viewport={"width": 1280, "height": 1200})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(readers_page.as_uri())
    page.locator(".readers[data-done]").wait_for()
    yield page
    assert complaints == []
    page.close()


def answers(page):
    """What the networks read, in the order of the table."""
    page.locator(".readers[data-done]").wait_for()
    cells = page.locator(".readers tbody tr td:nth-child(2)")
    return [int(answer) for answer in cells.all_text_contents()]


@pytest.mark.real
def test_networks_read_digits_that_are_chosen_moved_and_drawn(reading, readers_page):
    (inside,) = re.findall(
        "<script>(.*?)</script>", readers_page.read_text("utf-8"), re.DOTALL
    )
    assert len(inside.encode()) <= 300_000
    for digit in (3, 7):
        reading.get_by_label("Digit", exact=True).select_option(str(digit))
        reading.get_by_label("Canvas in pixels").select_option("28")
        assert answers(reading) == [digit] * 7
    reading.get_by_label("Step in pixels").select_option("8")
    reading.get_by_label("Canvas in pixels").select_option("80")
    reading.get_by_role("button", name="Move down").click()
    assert answers(reading)[5] == 7
    assert "changed by maximum 0 %, mean 0 %" in (
        reading.locator(".changes").text_content()
    )
    reading.get_by_label("Step in pixels").select_option("1")
    reading.get_by_role("button", name="Move right").click()
    answers(reading)
    assert not re.search(
        "(maximum|mean) 0 %", reading.locator(".changes").text_content()
    )

    reading.get_by_role("button", name="To the middle").click()
    reading.get_by_label("Canvas in pixels").select_option("28")
    reading.get_by_label("Digit", exact=True).select_option("drawn by hand")
    box = reading.locator(".picture").bounding_box()
    reading.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
    reading.mouse.down()
    reading.mouse.move(
        box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=20
    )
    reading.mouse.up()
    assert answers(reading) == [1] * 7
    reading.get_by_label("Maps of", exact=True).select_option("any size, mean")
    answers(reading)
    names = reading.locator(".readers figure .name").all_text_contents()
    assert [name.split(",")[0] for name in names] == [
        "Block 1: 16 maps of 14 × 14",
        "Block 2: 32 maps of 7 × 7",
        "Block 3: 81 maps of 3 × 3",
    ]


@pytest.mark.timing
@pytest.mark.real
def test_drawing_waits_for_no_network(reading):
    """The stroke is seen at once, and no frame is held up by much more than one."""
    reading.get_by_label("Canvas in pixels").select_option("64")
    times = reading.evaluate(
        """async () => {
            const picture = document.querySelector(".readers .picture");
            const box = picture.getBoundingClientRect();
            const frames = [];
            for (let n = 0; n < 40; n += 1) {
                const start = performance.now();
                picture.dispatchEvent(new PointerEvent("pointermove", {
                    buttons: 1, bubbles: true,
                    clientX: box.x + 60 + 3 * n, clientY: box.y + 60 + 2 * n }));
                frames.push(performance.now() - start);
                await new Promise(requestAnimationFrame);
            }
            return frames;
        }"""
    )
    assert sorted(times)[len(times) // 2] < 16


# --- Exercises ------------------------------------------------------------------------


def typed(answer):
    """An answer as a reader types it."""
    answer = answer.tolist() if hasattr(answer, "tolist") else answer
    if isinstance(answer, list) and isinstance(answer[0], list):
        return "\n".join(map(typed, answer))
    return ", ".join(map(str, answer)) if isinstance(answer, list) else str(answer)


def test_the_page_judges_answers_as_the_notebook_does(browser):
    checked = [e for e in EXERCISES.values() if e.kind != "function"]
    cases = [
        (exercises.record(e), typed(answer), words)
        for e in checked
        for answer, words in [
            (e.right, ""),
            *((mistake.answer, mistake.words) for mistake in e.mistakes),
        ]
    ]
    page = browser.new_page()
    source = script.source("numbers", "movable", "exercises")
    judge = "cases.map(([exercise, text]) => wrongIn(exercise, text))"
    said = page.evaluate(f"cases => {{{source}return {judge}}}", cases)
    judge = "cases.map(exercise => wrongIn(exercise, 'x') && wrongIn(exercise, ''))"
    records = [exercises.record(e) for e in checked]
    refused = page.evaluate(f"cases => {{{source}return {judge}}}", records)
    page.close()
    assert len(checked) >= 25
    assert said == [words for _, _, words in cases]
    assert all(refused)


def test_a_reader_answers_on_the_page(browser, tmp_path):
    cells = [text("# Exercises")]
    for key in ("1.1", "1.4", "1.5", "1.6"):
        name = "answer_" + key.replace(".", "_")
        cells += [
            text(f"**Exercise {key}.** Well?", tags=["exercise", "page-only"]),
            code(
                f"# @title An answer\n### BEGIN SOLUTION\n{name} = 3\n### END SOLUTION",
                tags=["solution", "hide-input"],
            ),
            code(f'exercises.check("{key}", {name})', tags=["check"]),
        ]
    document = Document(chapters(**{"01_exercises": new_notebook(cells=cells)}))
    (tmp_path / "report.html").write_text(html.write(document), "utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    told = page.locator(".exercise .verdict")
    page.get_by_label("Answer to 1.4").fill("13")
    page.keyboard.press("Enter")
    assert "one is missing" in told.nth(1).text_content()
    page.get_by_label("Answer to 1.4").fill("14")
    page.keyboard.press("Enter")
    assert told.nth(1).text_content() == "Right."
    page.get_by_label("Answer to 1.1").fill("4 −1\n8 10")
    page.get_by_role("button", name="Check").first.click()
    assert told.nth(0).text_content() == "Right."
    page.get_by_label("Answer to 1.5").select_option("c")
    page.get_by_role("button", name="Check").nth(2).click()
    assert "Some shifts it does follow" in told.nth(2).text_content()
    assert page.get_by_text("To be written in the notebook").count() == 1
    first, second = EXERCISES["1.4"].hints
    assert not page.get_by_text(first).is_visible()
    hints = page.locator(".exercise").nth(1)
    hints.get_by_text("Hint", exact=True).click()
    assert page.get_by_text(first).is_visible()
    assert not page.get_by_text(second).is_visible()
    hints.get_by_text("Second hint").click()
    assert page.get_by_text(second).is_visible()
    assert page.get_by_text("Show an answer").count() == 4
    assert "SOLUTION" not in page.content() and "exercises.check" not in page.content()
    page.close()


# --- Finding one's way ----------------------------------------------------------------


def test_a_click_on_a_number_copies_its_link(opened):
    for place in ("#loops-summary h3 a.own", "#eq-1-1 a.own", "#fig-curve a.own"):
        opened.locator(place).click()
        copied = opened.evaluate("navigator.clipboard.readText()")
        assert copied.endswith(place.split()[0])
        assert opened.locator(".tools .told").text_content() == "Link copied"
    targets = opened.locator(
        "section[id], .equation[id], figure[id], table[id]"
    ).count()
    assert opened.locator("a.own").count() == targets


def test_references_are_previewed_and_one_comes_back(opened):
    link = opened.locator('main p a[href="#fig-curve"]').first
    link.hover()
    opened.locator(".preview figcaption").wait_for(timeout=2000)
    assert opened.locator(".preview img").is_visible()
    assert link.get_attribute("aria-describedby") == "preview"
    opened.keyboard.press("Escape")
    assert not opened.locator(".preview").is_visible()
    link.scroll_into_view_if_needed()
    before = opened.evaluate("scrollY")
    link.focus()
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.id") == "fig-curve"
    assert opened.evaluate("location.hash") == "#fig-curve"
    opened.get_by_role("button", name="Back to where I was").click()
    assert abs(opened.evaluate("scrollY") - before) < 2
    assert opened.evaluate("document.activeElement.hash") == "#fig-curve"
    assert not opened.get_by_role("button", name="Back to where I was").is_visible()


def test_code_is_copied_as_it_stands_and_unfolded_by_one_switch(opened):
    listing = opened.locator("div.sourceCode", has_text="convolve(image)")
    listing.hover()
    listing.get_by_role("button", name="Copy this code").click()
    copied = opened.evaluate("navigator.clipboard.readText()")
    assert copied == "print(convolve(image))  # shown_input"
    assert not opened.get_by_text("folded_input").is_visible()
    switch = opened.get_by_role("button", name="Open folded code")
    switch.click()
    assert opened.get_by_text("folded_input").is_visible()
    assert switch.get_attribute("aria-pressed") == "true"
    switch.click()
    assert not opened.get_by_text("folded_input").is_visible()


def test_contents_follow_chapters_are_linked_and_the_place_is_kept(opened, small_page):
    next_chapter = opened.locator("#loops > .chapters a")
    assert next_chapter.text_content() == "2 Gradients →"
    next_chapter.click()
    current = opened.locator("nav a[aria-current=location]")
    opened.wait_for_function(
        "document.querySelector('nav a[aria-current]')?.hash.startsWith('#gradients')"
    )
    assert current.count() == 1
    kept = current.get_attribute("href")
    opened.goto("about:blank")
    opened.goto(small_page.as_uri())
    assert opened.evaluate("scrollY") == 0
    opened.get_by_role("button", name="Go on at").click()
    assert opened.evaluate("location.hash") == kept


def test_the_search_is_used_by_keyboard(opened):
    opened.keyboard.press("/")
    opened.keyboard.type("deeper")
    options = opened.get_by_role("option")
    assert "Deeper" in options.first.text_content()
    opened.keyboard.press("ArrowDown")
    assert options.first.get_attribute("aria-selected") == "true"
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.id").startswith("loops-deeper")
    assert not options.first.is_visible()


ASKED = """
    const index = new Index(document.querySelector("main")).finish();
    const kept = JSON.stringify([[...index.words], index.lengths, index.sections]);
    const answers = questions.map(question => {
        const start = performance.now();
        const [first] = index.search(question);
        return [index.sections[first]?.id, performance.now() - start];
    });
    return { answers, size: new TextEncoder().encode(kept).length };
"""


@pytest.mark.real
def test_questions_find_their_section_first(browser):
    """Asked of the finished report, as `make notebooks` left it."""
    page = browser.new_page()
    page.goto(project.PUBLISHED.with_suffix(".html").as_uri())
    asked = tomllib.loads(QUESTIONS.read_text("utf-8"))["questions"]
    source = script.source("search")
    told = page.evaluate(f"questions => {{{source}{ASKED}}}", list(asked))
    page.close()
    missed = {
        question: found
        for (question, right), (found, _) in zip(
            asked.items(), told["answers"], strict=True
        )
        if found not in right
    }
    assert len(asked) == 50 and len(missed) <= 5, missed
    times = sorted(time for _, time in told["answers"])
    assert times[len(times) // 2] < 50
    assert told["size"] <= 400_000


# --- The data of figures --------------------------------------------------------------


def test_a_click_on_its_link_gives_the_data_of_a_figure(browser, tmp_path):
    values = 'panel,kind,name,x,y,value\n1,point,"a, b",1,−2.5,\n'
    picture = png(Image.new("L", (9, 9)))
    shown_figure = figure("curve", "It falls.", "A curve.", picture, "png")
    shown_figure.metadata["report"]["data"] = values
    content = new_notebook(cells=[text("# Data"), code("pass", shown_figure)])
    document = Document(chapters(**{"01_data": content}))
    (tmp_path / "report.html").write_text(html.write(document), "utf-8")
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    with page.expect_download() as started:
        page.get_by_text("Data of Figure 1.1 (CSV)").click()
    assert started.value.suggested_filename == "curve.csv"
    assert Path(started.value.path()).read_text("utf-8") == values
    context.close()


# --- How it comes, and how it is printed ----------------------------------------------

WATCH = """
    window.shift = 0;
    new PerformanceObserver(list => {
        for (const entry of list.getEntries()) window.shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.timing
@pytest.mark.real
@pytest.mark.parametrize("width", [390, 1280])
def test_the_finished_page_comes_at_once_and_stands_still(browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script(WATCH)
    page.goto(project.PUBLISHED.with_suffix(".html").as_uri())
    page.wait_for_timeout(1000)  # the time in which figures come
    (first,) = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)"
    )
    shift = page.evaluate("window.shift")
    page.close()
    assert first < 1000
    assert shift < 0.001


def red_and_captions(pdf):
    """For each page: heights in inches of all runs of red rows, number of captions."""
    with pypdfium2.PdfDocument(pdf) as document:
        for page in document:
            dots = page.render(scale=1).to_numpy()[..., :3].astype(int)  # blue first
            red = (dots[..., 2] - dots[..., 0] > 100).sum(1) > 50
            edges = np.flatnonzero(np.diff(np.r_[False, red, False]))
            words = page.get_textpage().get_text_range()
            yield (edges[1::2] - edges[::2]) / 72, words.count("A field of red.")


def test_the_browsers_own_pdf_has_no_torn_figure(browser, tmp_path):
    picture = png(Image.new("RGB", (200, 100), (230, 20, 20)))
    cells = [text("# Pictures")]
    for number in range(9):
        cells.append(text("Some words.\n\n" * (1 + 3 * number)))
        key = f"picture-{number}"
        cells.append(
            code("pass", figure(key, "A field of red.", "A field.", picture, "png"))
        )
    content = new_notebook(cells=cells)
    document = Document(chapters(**{"01_pictures": content}))
    (tmp_path / "report.html").write_text(html.write(document), "utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    pages = list(red_and_captions(page.pdf(format="A4")))
    page.close()
    assert all(len(heights) == captions for heights, captions in pages)
    heights = np.concatenate([heights for heights, _ in pages])
    assert len(heights) == 9 and np.ptp(heights) < 0.1
