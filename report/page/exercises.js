// Exercises: numbers and choices are checked on the page, and told what is wrong.

/** Numbers in a text; rows are told apart by lines or semicolons. None: null. */
export function numbersOf(text) {
  const rows = text
    .replace(/[\[\]()]/g, " ")
    .split(/[\n;]/)
    .map((row) => row.trim())
    .filter(Boolean)
    .map((row) => row.split(/[,\s]+/).filter(Boolean).map(typed));
  return rows.length && rows.flat().every(Number.isFinite) ? rows : null;
}

const near = (a, b, tolerance) =>
  Math.abs(a - b) <= Math.max(tolerance * Math.max(Math.abs(a), Math.abs(b)), 1e-6);

/** Whether numbers that were typed are those of an answer, in its rows or in one. */
function agrees(rows, answer, tolerance) {
  const wanted = [answer].flat(2);
  const given = rows.flat();
  const shaped = rows.length === 1 || !Array.isArray(answer[0]) || rows.length === answer.length;
  return shaped && given.length === wanted.length && given.every((value, n) => near(value, wanted[n], tolerance));
}

/** What is wrong with an answer as it was typed; "" when it is right. */
export function wrongIn(exercise, text) {
  const { kind, right, mistakes, choices, tolerance } = exercise;
  if (kind === "choice") {
    const letter = text.trim().toLowerCase();
    if (letter === right) return "";
    return mistakes.find(([answer]) => answer === letter)?.[1] ?? `Choose one of ${[...choices].join(", ")}.`;
  }
  const rows = numbersOf(text);
  if (!rows) return kind === "number" ? "Type one number." : "Type numbers, with commas between them.";
  if (agrees(rows, right, tolerance)) return "";
  const known = mistakes.find(([answer]) => agrees(rows, answer, tolerance));
  if (known) return known[1];
  const [given, wanted] = [rows.flat(), [right].flat(2)];
  if (given.length !== wanted.length)
    return kind === "number" ? "Type one number." : `${given.length} numbers arrived, where ${wanted.length} are wanted.`;
  if (kind === "number") return `${written(given[0])} is too ${given[0] > right ? "large" : "small"}.`;
  const wrong = given.filter((value, n) => !near(value, wanted[n], tolerance)).length;
  return wrong ? `${wrong} of ${wanted.length} numbers are wrong.` : "The numbers are right: put them in rows, one on each line.";
}

let fields = 0; // for ids

/** Put a field and a button before the hints, where an answer can be checked here. */
export function addCheck(place) {
  const answer = place.previousElementSibling;
  if (answer?.matches("details")) place.after(answer); // last, below the hints
  const exercise = JSON.parse(place.dataset.exercise);
  if (exercise.kind === "function") {
    place.prepend(
      element("p", {
        className: "for-scripts note",
        textContent: "To be written in the notebook, where the next cell checks it.",
      }),
    );
    return;
  }
  const form = element("form", { className: "for-scripts" });
  const field =
    exercise.kind === "choice"
      ? element("select", {}, ...["", ...exercise.choices].map((letter) => new Option(letter, letter)))
      : exercise.kind === "number"
        ? element("input", { type: "text", inputMode: "decimal", autocomplete: "off" })
        : element("textarea", { rows: Array.isArray(exercise.right[0]) ? exercise.right.length : 1 });
  field.id = `answer-field-${(fields += 1)}`;
  const label = element("label", { htmlFor: field.id, textContent: `Answer to ${exercise.key}` });
  const told = element("p", { className: "verdict" });
  told.setAttribute("role", "status");
  form.append(label, field, element("button", { type: "submit", textContent: "Check" }), told);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wrong = wrongIn(exercise, field.value);
    told.textContent = wrong || "Right.";
    told.classList.toggle("right", !wrong);
  });
  place.prepend(form);
}
