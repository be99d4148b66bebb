// A convolution to move: numbers that follow the window, forward and backward.
//
// State goes one way: controls and grids change the state, `render` computes all numbers
// from it, `mark` shades what belongs to the chosen output pixel. `arrange` makes the
// grids, one for each channel where there are several.

const MINUS = "−";

/** A number as it stands in a grid: two places at most, a true minus sign. */
export function written(value) {
  return String(Math.round(value * 100) / 100 || 0).replace("-", MINUS);
}

/** A number that somebody typed; NaN when it is none. */
export function typed(text) {
  return text.trim() === "" ? NaN : Number(text.trim().replace(MINUS, "-").replace(",", "."));
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

let widgets = 0; // for ids

/** A control under its label. */
function labelledBy(prefix, words, control) {
  control.id = `${prefix}-${words.replace(/\W/g, "")}`;
  const shown = words[0].toUpperCase() + words.slice(1);
  return element("span", {}, element("label", { htmlFor: control.id, textContent: shown }), control);
}

function selectOf(names, chosen, act) {
  const select = element("select", {}, ...names.map((name) => new Option(name, name)));
  select.value = String(chosen);
  select.addEventListener("change", () => act(select.value));
  return select;
}

function buttonOf(words, act) {
  const button = element("button", { type: "button", textContent: words });
  button.addEventListener("click", act);
  return button;
}

/** Numbers in rows and columns; arrow keys move in it, one of its cells takes the focus. */
class Grid {
  constructor(caption, { onChoose, onKey, onPaint, moves = false } = {}) {
    this.caption = element("p", { className: "name", id: `grid-${(widgets += 1)}` });
    const [name, hint] = caption.split(": ");
    this.caption.append(name, ...(hint ? [element("small", { textContent: hint })] : []));
    this.table = element("table");
    this.table.setAttribute("role", onChoose ? "grid" : "table");
    this.table.setAttribute("aria-labelledby", this.caption.id);
    this.box = element("div", { className: "scrolling", tabIndex: onChoose ? -1 : 0 }, this.table);
    this.box.setAttribute("role", "group");
    this.box.setAttribute("aria-labelledby", this.caption.id);
    this.root = element("div", { className: "grid" }, this.caption, this.box);
    this.onChoose = onChoose;
    this.at = [0, 0];
    this.shape = [0, 0];
    if (!onChoose) return;
    this.table.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[
        event.key
      ];
      if (step) {
        event.preventDefault();
        this.choose(this.at[0] + step[0], this.at[1] + step[1], true);
      } else if (onKey?.(event.key, this.at)) event.preventDefault();
    });
    const pointed = (element) => {
      const cell = this.table.contains(element) && element.closest("td");
      return cell && [cell.parentElement.rowIndex, cell.cellIndex];
    };
    this.table.addEventListener("pointerdown", (event) => {
      const at = pointed(event.target);
      if (!at) return;
      this.choose(...at);
      onPaint?.(at, true);
    });
    if (!moves) return;
    this.table.classList.add("drawn");
    this.table.addEventListener("pointermove", (event) => {
      const at = event.buttons && pointed(document.elementFromPoint(event.clientX, event.clientY));
      if (at) onPaint(at, false);
    });
  }

  /** Write the numbers; cells are made anew only when there are more or fewer. */
  show(values, scale = Math.max(...values.flat().map(Math.abs))) {
    const [rows, columns] = [values.length, values[0].length];
    if (rows !== this.shape[0] || columns !== this.shape[1]) {
      this.shape = [rows, columns];
      this.cells = range(rows, () => range(columns, () => element("td", { tabIndex: -1 })));
      this.table.replaceChildren(
        element("tbody", {}, ...this.cells.map((row) => element("tr", {}, ...row))),
      );
      if (this.onChoose) for (const cell of this.cells.flat()) cell.setAttribute("role", "gridcell");
      else for (const cell of this.cells.flat()) cell.removeAttribute("tabindex");
      this.at = [Math.min(this.at[0], rows - 1), Math.min(this.at[1], columns - 1)];
      if (this.onChoose) this.cells[this.at[0]][this.at[1]].tabIndex = 0;
    }
    values.forEach((row, i) =>
      row.forEach((value, j) => {
        const cell = this.cells[i][j];
        const text = written(value);
        if (cell.textContent !== text) cell.textContent = text;
        cell.style.setProperty("--share", scale ? Math.abs(value) / scale : 0);
        cell.classList.toggle("negative", value < 0);
      }),
    );
  }

  choose(row, column, focus = false) {
    const [rows, columns] = this.shape;
    const at = [
      Math.max(0, Math.min(rows - 1, row)),
      Math.max(0, Math.min(columns - 1, column)),
    ];
    this.cells[this.at[0]][this.at[1]].tabIndex = -1;
    this.at = at;
    const cell = this.cells[at[0]][at[1]];
    cell.tabIndex = 0;
    if (focus) cell.focus();
    this.onChoose(at);
  }

  /** Scroll a wide grid so far that this column is seen. */
  keepInSight(column) {
    const { offsetLeft, offsetWidth } = this.cells[0][column];
    const { scrollLeft, clientWidth } = this.box;
    if (offsetLeft < scrollLeft || offsetLeft + offsetWidth > scrollLeft + clientWidth)
      this.box.scrollLeft = offsetLeft - clientWidth / 2;
  }

  /** Shade these cells, given as [row, column], and no others; some may lie outside. */
  mark(places) {
    for (const cell of this.marked ?? []) cell.classList.remove("window");
    this.marked = places.map(([row, column]) => this.cells[row]?.[column]).filter(Boolean);
    for (const cell of this.marked) cell.classList.add("window");
  }
}

/** Channels made of one: the picture itself, its transpose, its mirror image. */
export function inChannels(rows, channels) {
  const others = [
    rows,
    rows[0].map((_, j) => rows.map((row) => row[j])),
    rows.map((row) => [...row].reverse()),
  ];
  return others.slice(0, channels).map((other) => other.map((row) => [...row]));
}

/** One convolution to move; `part` is "forward" or "backward". */
class Movable {
  constructor(place, part) {
    this.backwards = part === "backward";
    const { picture, kernel, channels, at, ...how } = STARTS[part];
    Object.assign(this, { how, at, channels, gradient: [] });
    this.picture = picture;
    this.image = inChannels(PICTURES[picture], channels);
    this.kernelName = kernel;
    this.kernel = inChannels(KERNELS[kernel], channels);
    this.root = element("div", { className: "for-scripts moved" });
    this.root.setAttribute("role", "group");
    this.root.setAttribute(
      "aria-label",
      this.backwards ? "A backward pass to move" : "A convolution to move",
    );
    this.build();
    place.append(this.root);
    this.arrange();
  }

  /** The controls, which stay; and what the numbers are told in. */
  build() {
    const number = (widgets += 1);
    const labelled = (words, control) => labelledBy(`movable-${number}`, words, control);
    const choice = (words, names, chosen, act) =>
      labelled(words, selectOf(names, chosen, act));
    const whole = (name, from, to) =>
      choice(name, range(to - from + 1, (n) => String(from + n)), this.how[name], (value) => {
        this.how[name] = Number(value);
        this.render();
      });
    this.controls = element(
      "div",
      { className: "controls" },
      choice("Image", Object.keys(PICTURES), this.picture, (name) => {
        this.picture = name;
        this.image = inChannels(PICTURES[name], this.channels);
        this.render();
      }),
      choice("Kernel", Object.keys(KERNELS), this.kernelName, (name) => {
        this.kernelName = name;
        this.kernel = inChannels(KERNELS[name], this.channels);
        this.writeKernel();
        this.render();
      }),
      choice("Channels", ["1", "2", "3"], this.channels, (value) => {
        this.channels = Number(value);
        this.image = inChannels(PICTURES[this.picture], this.channels);
        this.kernel = inChannels(KERNELS[this.kernelName], this.channels);
        this.arrange();
      }),
      whole("stride", 1, 3),
      whole("padding", 0, 2),
      whole("dilation", 1, 2),
    );
    if (this.backwards) {
      this.amount = element("input", { type: "text", inputMode: "decimal", value: "1" });
      this.controls.append(
        labelled("Gradient to put", this.amount),
        buttonOf("Everywhere", () => this.fill(() => this.put())),
        buttonOf("Nowhere", () => this.fill(() => 0)),
      );
    }
    this.sentence = element("p", { className: "sentence" });
    this.sentence.setAttribute("role", "status");
    this.size = element("p", { className: "size" });
    this.grids = element("div");
    this.root.append(this.controls, this.size, this.grids);
  }

  /** Grids for the channels that there are. */
  arrange() {
    const each = (make) => range(this.channels, make);
    const named = (name, c) => {
      const [before, hint] = name.split(": ");
      const channel = this.channels > 1 ? `, channel ${c + 1}` : "";
      return before + channel + (hint ? `: ${hint}` : "");
    };
    const row = (...grids) =>
      element("div", { className: "grids" }, ...grids.flat().map((grid) => grid.root ?? grid));
    this.inputs = each((c) => this.inputGrid(c, named("Image: click or type 0 to 9 to draw", c)));
    this.kernelFields = each((c) => this.fieldsOf(c));
    const kernels = each((c) =>
      element(
        "div",
        { className: "grid" },
        element(
          "p",
          { className: "name" },
          named("Kernel", c),
          element("small", { textContent: "type other numbers" }),
        ),
        element("div", { className: "kernel" }, ...this.kernelFields[c].flat()),
      ),
    );
    this.output = this.outputGrid();
    if (this.backwards) {
      this.imageGradients = each(
        (c) => new Grid(named("Gradient of the image: shares added up, as fold does", c)),
      );
      this.kernelGradients = each(
        (c) => new Grid(named("Gradient of the kernel: pixels × gradients, added up", c)),
      );
      this.shares = new Grid(
        "Shares: in each column kernel × gradient of one output; fold adds up those of a pixel",
      );
      this.grids.replaceChildren(
        row(this.output, this.imageGradients),
        this.sentence,
        row(kernels, this.kernelGradients, this.inputs),
        this.shares.root,
      );
    } else {
      this.products = each((c) => new Grid(named("Products: window × kernel", c)));
      this.unfolded = new Grid("Unfolded: each column is a window");
      this.grids.replaceChildren(
        row(this.inputs, this.output),
        this.sentence,
        row(kernels, this.products),
        this.unfolded.root,
      );
    }
    this.writeKernel();
    this.render();
  }

  inputGrid(c, name) {
    return new Grid(name, {
      onChoose: () => {},
      onKey: (key, [i, j]) => {
        if (!/^[0-9 ]$/.test(key)) return false;
        this.image[c][i][j] = key === " " ? 9 - this.image[c][i][j] : Number(key);
        this.render();
        return true;
      },
      onPaint: ([i, j], first) => {
        if (first) this.ink = this.image[c][i][j] > 4 ? 0 : 9;
        if (this.image[c][i][j] === this.ink) return;
        this.image[c][i][j] = this.ink;
        this.render();
      },
      moves: true,
    });
  }

  fieldsOf(c) {
    const channel = this.channels > 1 ? `, channel ${c + 1}` : "";
    return range(3, (p) =>
      range(3, (q) => {
        const field = element("input", { type: "text", inputMode: "decimal", autocomplete: "off" });
        field.setAttribute("aria-label", `Kernel${channel}, row ${p + 1}, column ${q + 1}`);
        field.addEventListener("input", () => {
          const value = typed(field.value);
          field.setAttribute("aria-invalid", String(!Number.isFinite(value)));
          if (!Number.isFinite(value)) return;
          this.kernel[c][p][q] = value;
          this.render();
        });
        return field;
      }),
    );
  }

  outputGrid() {
    return new Grid(
      this.backwards
        ? "Gradient at the output: click or press Enter to put one"
        : "Output: click, or arrow keys, to move the window",
      {
        onChoose: (at) => {
          this.at = at;
          this.mark();
        },
        onKey: (key, at) => {
          if (!this.backwards || (key !== "Enter" && key !== " ")) return false;
          this.toggle(at);
          return true;
        },
        onPaint: this.backwards ? (at, first) => first && this.toggle(at) : undefined,
      },
    );
  }

  writeKernel() {
    this.kernelFields.flat(2).forEach((field, n) => {
      field.value = written(this.kernel.flat(2)[n]);
      field.setAttribute("aria-invalid", "false");
    });
  }

  put() {
    const value = typed(this.amount.value);
    return Number.isFinite(value) ? value : 1;
  }

  toggle([i, j]) {
    this.gradient[i][j] = this.gradient[i][j] ? 0 : this.put();
    this.render();
  }

  fill(value) {
    this.gradient = this.gradient.map((row) => row.map(value));
    this.render();
  }

  render() {
    const { image, how } = this;
    const kernels = [this.kernel];
    const [, rows, columns] = outputShape(image, kernels, how);
    this.tellSize(rows, columns);
    this.inputs.forEach((grid, c) => grid.show(image[c], 9));
    const fits = rows > 0 && columns > 0;
    this.root.classList.toggle("unfit", !fits);
    if (!fits) {
      this.sentence.textContent =
        "The window is wider than the padded image: choose a larger image, more padding or less dilation.";
      return;
    }
    if (this.gradient.length !== rows || this.gradient[0].length !== columns) {
      this.at = [Math.min(this.at[0], rows - 1), Math.min(this.at[1], columns - 1)];
      this.gradient = zeros(1, rows, columns)[0];
      this.gradient[this.at[0]][this.at[1]] = this.backwards ? this.put() : 0;
    }
    if (this.backwards) {
      const { imageGradient, kernelGradients } = backward(image, kernels, how, [this.gradient]);
      const output = this.gradient.flat();
      this.output.show(this.gradient);
      this.imageGradients.forEach((grid, c) => grid.show(imageGradient[c]));
      this.kernelGradients.forEach((grid, c) => grid.show(kernelGradients[0][c]));
      this.shares.show(this.kernel.flat(2).map((entry) => output.map((value) => entry * value)));
    } else {
      this.output.show(convolve(image, kernels, how)[0]);
      this.unfolded.show(unfold(image, kernels, how), 9);
    }
    this.output.cells[this.output.at[0]][this.output.at[1]].tabIndex = -1;
    this.output.at = this.at;
    this.output.cells[this.at[0]][this.at[1]].tabIndex = 0;
    this.mark();
  }

  tellSize(rows, columns) {
    const { stride, padding, dilation } = this.how;
    const size = this.image[0].length;
    this.size.textContent =
      `Output size: ⌊(${size} + 2 · ${padding} ${MINUS} ${dilation} · (3 ${MINUS} 1) ${MINUS} 1) / ` +
      `${stride}⌋ + 1 = ${written(rows)}` +
      (rows > 0 ? `, so ${rows} × ${columns} positions` : "");
  }

  /** Shade what belongs to the chosen output pixel, and say it in words. */
  mark() {
    const [i, j] = this.at;
    const window = [];
    visitWindow(i, j, [this.channels, 3, 3], this.how, (c, p, q, row, column) =>
      window.push({ c, p, q, row, column, value: this.image[c][row]?.[column] ?? 0 }),
    );
    const places = window.filter(({ c }) => c === 0).map(({ row, column }) => [row, column]);
    this.inputs.forEach((grid) => grid.mark(places));
    this.output.mark([[i, j]]);
    const place = `row ${i + 1}, column ${j + 1}`;
    const matrix = this.backwards ? this.shares : this.unfolded;
    const column = i * this.output.shape[1] + j;
    matrix.mark(window.map((_, entry) => [entry, column]));
    matrix.keepInSight(column);
    if (this.backwards) {
      this.imageGradients.forEach((grid) => grid.mark(places));
      const gradient = this.gradient[i][j];
      const reached = window.filter(({ c, row, column }) => this.image[c][row]?.[column] !== undefined);
      this.sentence.textContent = gradient
        ? `Output ${place} has the gradient ${written(gradient)}: it hands ${written(gradient)} × the kernel ` +
          `to ${reached.length} pixels (outlined), and ${written(gradient)} × their values to the kernel.`
        : `Output ${place} has no gradient: it hands nothing to the ${reached.length} outlined pixels.`;
      return;
    }
    const products = zeros(this.channels, 3, 3);
    for (const { c, p, q, value } of window) products[c][p][q] = value * this.kernel[c][p][q];
    this.products.forEach((grid, c) => grid.show(products[c]));
    const sums = products.map((channel) => channel.flat().reduce((a, b) => a + b, 0));
    const total = written(sums.reduce((a, b) => a + b, 0));
    const terms =
      this.channels > 1
        ? sums.map((sum, c) => `${bracketed(sum)} from channel ${c + 1}`)
        : window.map(({ c, p, q, value }) => `${written(value)}·${bracketed(this.kernel[c][p][q])}`);
    this.sentence.textContent = `Output ${place}: ${terms.join(" + ")} = ${total}`;
  }
}

const bracketed = (value) => (value < 0 ? `(${written(value)})` : written(value));
