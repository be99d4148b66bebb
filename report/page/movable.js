// A convolution to move: numbers that follow the window, forward and backward.
//
// State goes one way: controls and grids change the state, `render` computes all numbers
// from it, `mark` shades what belongs to the chosen output pixel.

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

/** Numbers in rows and columns; arrow keys move in it, one of its cells takes the focus. */
class Grid {
  constructor(caption, { onChoose, onKey, onPaint } = {}) {
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
    const pointed = (event) => {
      const cell = event.target.closest("td");
      return cell && [cell.parentElement.rowIndex, cell.cellIndex];
    };
    this.table.addEventListener("pointerdown", (event) => {
      const at = pointed(event);
      if (!at) return;
      this.choose(...at);
      onPaint?.(at, true);
    });
    if (onPaint)
      this.table.addEventListener("pointermove", (event) => {
        if (!event.buttons || event.pointerType === "touch") return;
        const at = pointed(event);
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

  /** Shade these cells, given as [row, column], and no others; some may lie outside. */
  mark(places) {
    for (const cell of this.marked ?? []) cell.classList.remove("window");
    this.marked = places.map(([row, column]) => this.cells[row]?.[column]).filter(Boolean);
    for (const cell of this.marked) cell.classList.add("window");
  }
}

/** One convolution to move; `part` is "forward" or "backward". */
class Movable {
  constructor(place, part) {
    this.backwards = part === "backward";
    this.image = PICTURES["Corner, 6 × 6"].map((row) => [...row]);
    this.kernel = KERNELS["Sobel, vertical edges"].map((row) => [...row]);
    this.how = { stride: 1, padding: 0, dilation: 1 };
    this.at = [1, 1];
    this.gradient = [];
    this.root = element("div", { className: "for-scripts moved" });
    this.root.setAttribute("role", "group");
    this.root.setAttribute(
      "aria-label",
      this.backwards ? "A backward pass to move" : "A convolution to move",
    );
    this.build();
    place.append(this.root);
    this.render();
  }

  build() {
    const number = (widgets += 1);
    const labelled = (words, control) => {
      control.id = `movable-${number}-${words.replace(/\W/g, "")}`;
      return element("span", {}, element("label", { htmlFor: control.id, textContent: words }), control);
    };
    const choice = (words, names, chosen, act) => {
      const select = element("select", {}, ...names.map((name) => new Option(name, name)));
      select.value = chosen;
      select.addEventListener("change", () => act(select.value));
      return labelled(words, select);
    };
    const copy = (values) => values.map((row) => [...row]);
    const whole = (name, from, to) =>
      choice(
        name[0].toUpperCase() + name.slice(1),
        range(to - from + 1, (n) => String(from + n)),
        String(this.how[name]),
        (value) => {
          this.how[name] = Number(value);
          this.render();
        },
      );
    this.controls = element(
      "div",
      { className: "controls" },
      choice("Image", Object.keys(PICTURES), "Corner, 6 × 6", (name) => {
        this.image = copy(PICTURES[name]);
        this.render();
      }),
      choice("Kernel", Object.keys(KERNELS), "Sobel, vertical edges", (name) => {
        this.kernel = copy(KERNELS[name]);
        this.writeKernel();
        this.render();
      }),
      whole("stride", 1, 3),
      whole("padding", 0, 2),
      whole("dilation", 1, 2),
    );
    this.input = new Grid("Image: click or type 0 to 9 to draw", {
      onChoose: () => {},
      onKey: (key, [i, j]) => {
        if (!/^[0-9 ]$/.test(key)) return false;
        this.image[i][j] = key === " " ? 9 - this.image[i][j] : Number(key);
        this.render();
        return true;
      },
      onPaint: ([i, j], first) => {
        if (first) this.ink = this.image[i][j] > 4 ? 0 : 9;
        if (this.image[i][j] === this.ink) return;
        this.image[i][j] = this.ink;
        this.render();
      },
    });
    this.kernelFields = range(3, (p) =>
      range(3, (q) => {
        const field = element("input", { type: "text", inputMode: "decimal", autocomplete: "off" });
        field.setAttribute("aria-label", `Kernel, row ${p + 1}, column ${q + 1}`);
        field.addEventListener("input", () => {
          const value = typed(field.value);
          field.setAttribute("aria-invalid", String(!Number.isFinite(value)));
          if (!Number.isFinite(value)) return;
          this.kernel[p][q] = value;
          this.render();
        });
        return field;
      }),
    );
    this.kernelBox = element(
      "div",
      { className: "grid" },
      element("p", { className: "name" }, "Kernel", element("small", { textContent: "type other numbers" })),
      element("div", { className: "kernel" }, ...this.kernelFields.flat()),
    );
    this.output = new Grid(
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
    this.sentence = element("p", { className: "sentence" });
    this.sentence.setAttribute("role", "status");
    this.size = element("p", { className: "size" });
    const rows = [this.controls, this.size];
    if (this.backwards) {
      this.amount = element("input", { type: "text", inputMode: "decimal", value: "1" });
      const all = element("button", { type: "button", textContent: "Everywhere" });
      all.addEventListener("click", () => this.fill(() => this.put()));
      const none = element("button", { type: "button", textContent: "Nowhere" });
      none.addEventListener("click", () => this.fill(() => 0));
      this.controls.append(labelled("Gradient to put", this.amount), all, none);
      this.imageGradient = new Grid("Gradient of the image: shares added up, as fold does");
      this.kernelGradient = new Grid("Gradient of the kernel: pixels × gradients, added up");
      rows.push(
        element("div", { className: "grids" }, this.output.root, this.imageGradient.root),
        this.sentence,
        element("div", { className: "grids" }, this.kernelBox, this.kernelGradient.root, this.input.root),
      );
    } else {
      this.products = new Grid("Products: window × kernel");
      this.unfolded = new Grid("Unfolded: each column is a window");
      rows.push(
        element("div", { className: "grids" }, this.input.root, this.output.root),
        this.sentence,
        element("div", { className: "grids" }, this.kernelBox, this.products.root),
        this.unfolded.root,
      );
    }
    this.root.append(...rows);
    this.writeKernel();
  }

  writeKernel() {
    this.kernelFields.flat().forEach((field, n) => {
      field.value = written(this.kernel[Math.floor(n / 3)][n % 3]);
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
    const [image, kernels] = [[this.image], [[this.kernel]]];
    const [, rows, columns] = outputShape(image, kernels, this.how);
    this.tellSize(rows, columns);
    this.input.show(this.image, 9);
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
      const { imageGradient, kernelGradients } = backward(image, kernels, this.how, [this.gradient]);
      this.output.show(this.gradient);
      this.imageGradient.show(imageGradient[0]);
      this.kernelGradient.show(kernelGradients[0][0]);
    } else {
      this.output.show(convolve(image, kernels, this.how)[0]);
      this.unfolded.show(unfold(image, kernels, this.how), 9);
    }
    this.output.cells[this.output.at[0]][this.output.at[1]].tabIndex = -1;
    this.output.at = this.at;
    this.output.cells[this.at[0]][this.at[1]].tabIndex = 0;
    this.mark();
  }

  tellSize(rows, columns) {
    const { stride, padding, dilation } = this.how;
    const size = this.image.length;
    this.size.textContent =
      `Output size: ⌊(${size} + 2 · ${padding} ${MINUS} ${dilation} · (3 ${MINUS} 1) ${MINUS} 1) / ` +
      `${stride}⌋ + 1 = ${written(rows)}` +
      (rows > 0 ? `, so ${rows} × ${columns} positions` : "");
  }

  /** Shade what belongs to the chosen output pixel, and say it in words. */
  mark() {
    const [i, j] = this.at;
    const window = [];
    visitWindow(i, j, [1, 3, 3], this.how, (_, p, q, row, column) =>
      window.push({ p, q, row, column, value: this.image[row]?.[column] ?? 0 }),
    );
    const places = window.map(({ row, column }) => [row, column]);
    this.input.mark(places);
    this.output.mark([[i, j]]);
    const place = `row ${i + 1}, column ${j + 1}`;
    if (this.backwards) {
      this.imageGradient.mark(places);
      const gradient = this.gradient[i][j];
      const reached = window.filter(({ row, column }) => this.image[row]?.[column] !== undefined);
      this.sentence.textContent = gradient
        ? `Output ${place} has the gradient ${written(gradient)}: it hands ${written(gradient)} × the kernel ` +
          `to ${reached.length} pixels (outlined), and ${written(gradient)} × their values to the kernel.`
        : `Output ${place} has no gradient: it hands nothing to the ${reached.length} outlined pixels.`;
      return;
    }
    const products = zeros(1, 3, 3)[0];
    for (const { p, q, value } of window) products[p][q] = value * this.kernel[p][q];
    this.products.show(products);
    const column = i * this.output.shape[1] + j;
    this.unfolded.mark(window.map((_, entry) => [entry, column]));
    const cell = this.unfolded.cells[0][column];
    const box = this.unfolded.box;
    if (cell.offsetLeft < box.scrollLeft || cell.offsetLeft + cell.offsetWidth > box.scrollLeft + box.clientWidth)
      box.scrollLeft = cell.offsetLeft - box.clientWidth / 2;
    const terms = window.map(({ p, q, value }) => `${written(value)}·${bracketed(this.kernel[p][q])}`);
    const sum = products.flat().reduce((a, b) => a + b, 0);
    this.sentence.textContent = `Output ${place}: ${terms.join(" + ")} = ${written(sum)}`;
  }
}

const bracketed = (value) => (value < 0 ? `(${written(value)})` : written(value));
