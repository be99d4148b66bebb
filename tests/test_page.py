"""The script of the page: its numbers, finding one's way, what a question finds."""

import base64
import hashlib
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
from torch.nn.functional import avg_pool2d, conv2d
from torch.nn.functional import unfold as torch_unfold

from helpers import data, runs
from report import html, project, script
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
    source = f"(() => {{ {script.source('pictures')}; return [PICTURES, KERNELS]; }})()"
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
