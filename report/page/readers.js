// Trained networks that read a digit: drawn, moved by pixels, resized, on a larger canvas.
//
// A change is drawn at once; the networks follow, for a few milliseconds in each frame, so
// that drawing never waits for them.

const PATIENCE = 6; // milliseconds in a frame after which no further network begins
const REACH = 1.6; // of the pen, in pixels of the drawing
const DRAWN = "drawn by hand";
const STRIDE = 8; // of the last map: three poolings by two
const LAST_MAP =
  "The last map has one value for 8 × 8 pixels: it moves along with a move by 8, and changes with any other. " +
  "For the maximum over all a move by 4 will do, as the last step before it is a maximum, too.";

let kept; // networks and digits, unpacked once for the whole page

/** Networks beside one another; `part` is "canvas" or "maps", what it begins with. */
class Readers {
  constructor(place, part) {
    const { digit, size, canvas, shift } = STARTS[part];
    Object.assign(this, { size, canvas, shift: [...shift], step: 1, inSight: false });
    this.digit = String(digit);
    this.root = element("div", { className: "for-scripts moved readers" });
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", "Networks that read a digit");
    place.append(this.root);
    this.root.append(element("p", { textContent: "The networks are unpacked when they come into sight." }));
    const watcher = new IntersectionObserver(
      async ([{ isIntersecting }]) => {
        if (!isIntersecting) return;
        watcher.disconnect();
        kept ??= unpacked(PACKED);
        Object.assign(this, await kept);
        this.drawing = this.digits[digit].slice();
        this.build();
        this.render();
      },
      { rootMargin: "1000px" },
    );
    watcher.observe(place);
  }

  build() {
    const number = (widgets += 1);
    const choice = (words, names, chosen, act) =>
      labelledBy(`readers-${number}`, words, selectOf(names, chosen, act));
    const change = (name) => (value) => {
      this[name] = Number(value);
      this.render();
    };
    const digit = choice("Digit", [...range(10, String), DRAWN], this.digit, (value) => {
      if (value === DRAWN) this.drawing.fill(0);
      else this.drawing = this.digits[value].slice();
      this.render();
    });
    this.digitChoice = digit.querySelector("select");
    const move = (words, down, right) => {
      const button = buttonOf(words, () => {
        this.shift = [this.shift[0] + down * this.step, this.shift[1] + right * this.step];
        this.render();
      });
      button.setAttribute("aria-label", `Move ${{ "←": "left", "→": "right", "↑": "up", "↓": "down" }[words]}`);
      return button;
    };
    const moves = element(
      "span",
      { className: "moves" },
      move("←", 0, -1),
      move("↑", -1, 0),
      move("↓", 1, 0),
      move("→", 0, 1),
      buttonOf("To the middle", () => {
        this.shift = [0, 0];
        this.render();
      }),
    );
    this.picture = element("canvas", { className: "picture" });
    this.picture.setAttribute("role", "img");
    this.picture.addEventListener("pointerdown", (event) => {
      this.picture.setPointerCapture(event.pointerId);
      this.draw(event);
    });
    this.picture.addEventListener("pointermove", (event) => event.buttons && this.draw(event));
    this.rows = new Map(this.networks.map(({ name }) => [name, range(11, () => element("td"))]));
    const heading = (words) => Object.assign(element("th", { textContent: words }), { scope: "col" });
    const table = element(
      "table",
      {},
      element("thead", {}, element("tr", {}, ...["network", "reads", ...range(10, String)].map(heading))),
      element(
        "tbody",
        {},
        ...[...this.rows].map(([name, cells]) =>
          element("tr", {}, Object.assign(element("th", { textContent: name }), { scope: "row" }), ...cells),
        ),
      ),
    );
    const box = element("div", { className: "scrolling", tabIndex: 0 }, table);
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "What each network reads, in percent");
    this.sentence = element("p", { className: "sentence" });
    this.sentence.setAttribute("role", "status");
    this.changes = element("p", { className: "changes" });
    this.shown = this.networks.at(-2).name;
    this.maps = range(3, (n) => {
      const canvas = element("canvas", { className: "maps" });
      canvas.setAttribute("role", "img");
      return element("figure", {}, canvas, element("p", { className: "name" }));
    });
    this.root.replaceChildren(
      element(
        "div",
        { className: "controls" },
        digit,
        choice("Size in pixels", ["14", "20", "28", "40", "56"], this.size, change("size")),
        choice("Canvas in pixels", ["28", "40", "56", "64", "80"], this.canvas, change("canvas")),
        choice("Step in pixels", ["1", "2", "4", "8"], this.step, change("step")),
        moves,
      ),
      element(
        "div",
        { className: "grids" },
        element("div", {}, this.picture, element("p", { className: "name", textContent: "Draw here, with mouse or finger" })),
        box,
      ),
      this.sentence,
      this.changes,
      element(
        "div",
        { className: "controls" },
        choice("Maps of", this.networks.map(({ name }) => name), this.shown, (name) => {
          this.shown = name;
          this.render();
        }),
      ),
      ...this.maps,
    );
  }

  /** Where the digit lies on the canvas: its first row and column. */
  corner() {
    const begin = Math.floor((this.canvas - this.size) / 2);
    return this.shift.map((moved) => begin + moved);
  }

  /** Put ink into the drawing below the pointer. */
  draw(event) {
    const box = this.picture.getBoundingClientRect();
    const [top, left] = this.corner();
    const place = (share, begin) => ((share * this.canvas - begin) * 28) / this.size;
    const row = place((event.clientY - box.top) / box.height, top);
    const column = place((event.clientX - box.left) / box.width, left);
    for (let i = 0; i < 28; i += 1)
      for (let j = 0; j < 28; j += 1) {
        const ink = Math.min(1, REACH - Math.hypot(i + 0.5 - row, j + 0.5 - column) + 0.3);
        if (ink > this.drawing[i * 28 + j]) this.drawing[i * 28 + j] = ink;
      }
    this.digitChoice.value = DRAWN;
    this.render();
  }

  /** The canvas as the networks get it; [0, 0] leaves the digit in the middle. */
  image(shift) {
    return placed(resized(this.drawing, this.size), this.canvas, shift);
  }

  render() {
    const image = this.image(this.shift);
    paint(this.picture, [image], this.canvas, 1);
    const [down, right] = this.shift;
    this.picture.setAttribute(
      "aria-label",
      `Canvas of ${this.canvas} pixels, the digit ${this.size} pixels large, moved by ${down} down and ${right} to the right`,
    );
    this.found = new Map();
    const waiting = [...this.networks];
    const inputs = { fixed: asMap(resized(image, 28)), any: asMap(image) };
    const turn = (this.turn = Symbol("the latest change"));
    delete this.root.dataset.done;
    const work = () => {
      if (turn !== this.turn) return;
      const begun = performance.now();
      while (waiting.length && performance.now() - begun < PATIENCE) {
        const network = waiting.shift();
        const found = read(network, takesOneSize(network.name) ? inputs.fixed : inputs.any);
        this.found.set(network.name, found);
        this.tell(network, found);
      }
      if (waiting.length) requestAnimationFrame(work);
      else this.tellAll(turn);
    };
    requestAnimationFrame(work);
  }

  /** One row of the table. */
  tell({ name }, { scores }) {
    const shares = softmax(scores);
    const [answer, ...cells] = this.rows.get(name);
    answer.textContent = shares.indexOf(Math.max(...shares));
    cells.forEach((cell, digit) => {
      cell.textContent = Math.round(100 * shares[digit]);
      cell.style.setProperty("--share", shares[digit]);
    });
    if (name === this.shown) this.showMaps(this.found.get(name).maps);
  }

  tellAll(turn) {
    const answers = this.networks.map(({ name }) => [name, this.rows.get(name)[0].textContent]);
    const fixed = answers.filter(([name]) => takesOneSize(name)).map(([, answer]) => answer);
    const others = answers.filter(([name]) => !takesOneSize(name));
    const resizedTo = this.canvas === 28 ? "" : ", the canvas resized to 28 pixels,";
    this.sentence.textContent =
      `Five seeds of one network for 28 pixels${resizedTo} read ${fixed.join(", ")}; ` +
      others.map(([name, answer]) => `the one for ${name}, reads ${answer}`).join("; ") + ".";
    const moved = this.shift.some((pixels) => pixels !== 0);
    if (!moved) {
      this.changes.textContent = `Move the digit. ${LAST_MAP}`;
      this.root.dataset.done = "true";
      return;
    }
    // How far the move changed what the linear layer sees, against the digit in the middle.
    const still = asMap(this.image([0, 0]));
    const words = [];
    const waiting = this.networks.filter(({ name }) => !takesOneSize(name));
    const work = () => {
      if (turn !== this.turn) return;
      const network = waiting.shift();
      const before = read(network, still).features;
      const after = this.found.get(network.name).features;
      const length = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
      const change = length(after.map((value, n) => value - before[n])) / length(before);
      words.push(`${network.name.split(", ")[1]} ${Math.round(1000 * change) / 10} %`);
      if (waiting.length) {
        requestAnimationFrame(work);
        return;
      }
      this.changes.textContent =
        `Against the digit in the middle the pooled values changed by ${words.join(", ")}. ` +
        (this.shift.every((pixels) => pixels % STRIDE === 0)
          ? "The move is a multiple of 8 pixels, the stride of the last map: the map moves along."
          : LAST_MAP);
      this.root.dataset.done = "true";
    };
    requestAnimationFrame(work);
  }

  showMaps(layers) {
    layers.forEach(({ channels, height, width, values }, n) => {
      const [canvas, caption] = this.maps[n].children;
      const area = height * width;
      const largest = values.reduce((a, b) => Math.max(a, b), 0) || 1;
      const maps = range(channels, (c) => values.subarray(c * area, (c + 1) * area));
      paint(canvas, maps, width, largest);
      caption.textContent = `Block ${n + 1}: ${channels} maps of ${height} × ${width}, their largest value ${written(largest)}`;
      canvas.setAttribute("aria-label", caption.textContent);
    });
  }
}

/** Draw square maps in rows of up to 27, dark where they are large. */
function paint(canvas, maps, side, largest) {
  const across = maps.length % 27 === 0 ? 27 : Math.min(16, maps.length);
  const down = Math.ceil(maps.length / across);
  const gap = maps.length > 1 ? 1 : 0;
  const [width, height] = [across * (side + gap) - gap, down * (side + gap) - gap];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pixels = new ImageData(width, height);
  maps.forEach((map, n) => {
    const [top, left] = [Math.floor(n / across) * (side + gap), (n % across) * (side + gap)];
    for (let i = 0; i < side; i += 1)
      for (let j = 0; j < side; j += 1) {
        const at = 4 * ((top + i) * width + left + j);
        pixels.data[at] = pixels.data[at + 1] = pixels.data[at + 2] = 255 - Math.round((255 * map[i * side + j]) / largest);
        pixels.data[at + 3] = 255;
      }
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
