// Search over all sections: headings, text, captions, formulas as LaTeX, and code.
//
// The index is made from the page itself when the reader first wants it, so that the file
// carries no second copy of its text. Sections are ranked by BM25 over weighted fields.

const WEIGHTS = { heading: 9, above: 1.5, caption: 2, text: 1, code: 0.5 };
const SATURATION = 1.2; // how soon a word that comes again stops to count
const LENGTH_SHARE = 0.4; // how much a long section is held back
const HEADING_BONUS = 1.5; // for each word of the question in the title, times its rarity
const BACK_MATTER =
  /(What you will see|Summary|A page to keep|Exercises|Solutions|References|Limits|Environment)$/;
const AUDIT = /^\d+ What the sources say$/;
const STOP_WORDS = new Set(
  ("a an and are as at be by can do does for from has how i in into is it its much not of " +
    "on one or our respect that the their then there they this to was we what when where which " +
    "who why with you your").split(" "),
);

const stems = new Map();

/** A word without the endings of English, roughly: "windows", "window" are the same. */
export function stem(word) {
  if (!stems.has(word)) stems.set(word, bareOf(word));
  return stems.get(word);
}

function bareOf(word) {
  if (word.length < 4 || /\d/.test(word)) return word;
  const bare = word
    .replace(/'s$/, "")
    .replace(/ies$/, "y")
    .replace(/(ss|us|is)$|s$/, "$1")
    .replace(/(..[^aeiou]..?)(?:ing|ed|ly)$/, "$1")
    .replace(/([^aeiouls])\1$/, "$1");
  return bare.length > 3 ? bare.replace(/e$/, "") : bare;
}

/** The words of a text, in the form in which they are compared. */
export function wordsOf(text) {
  const plain = text
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/[’]/g, "'")
    .toLowerCase();
  return (plain.match(/\d+(?:\.\d+)+|[\p{L}\p{N}]+(?:'s)?/gu) ?? []).map(stem);
}

/** What a section holds itself, without the sections inside it, by field. */
function contentOf(section) {
  const fields = { heading: titleOf(section), above: "", caption: "", text: "", code: "" };
  const above = [];
  for (let e = section.parentElement?.closest("section"); e; e = e.parentElement.closest("section"))
    above.push(titleOf(e));
  fields.above = above.join(" ");
  for (const child of section.children)
    if (!child.matches("section, h2, h3, h4, h5")) gather(child, fields);
  return { id: section.id, title: fields.heading, above, fields };
}

function titleOf(section) {
  const heading = section.querySelector("h2, h3, h4, h5");
  return heading.dataset.title ?? heading.textContent;
}

function gather(element, fields) {
  const kind = element.matches("figcaption, caption")
    ? "caption"
    : element.matches("pre, annotation")
      ? "code"
      : "text";
  if (element.matches(".equation")) fields.caption += `Equation, formula ${element.id} `;
  for (const node of element.childNodes)
    if (node.nodeType === Node.TEXT_NODE) fields[kind] += `${node.data} `;
    else if (kind === "code") fields.code += `${node.textContent} `;
    else if (node.nodeName === "math") // its LaTeX says what it is, its letters do not
      fields.code += `${node.querySelector("annotation")?.textContent} `;
    else if (node.nodeType === Node.ELEMENT_NODE && !node.matches(".for-scripts, noscript"))
      gather(node, fields);
}

/** The index of the sections below `main`, made bit by bit or all at once. */
export class Index {
  constructor(main) {
    this.waiting = [...main.querySelectorAll("section[id]")];
    this.sections = []; // { id, title, above }
    this.words = new Map(); // word -> [[number of the section, weighted frequency], ...]
    this.headings = []; // sets of words
    this.lengths = []; // in words of running text
    this.total = 0;
  }

  /** Take in the next section; false when there is none. */
  step() {
    const section = this.waiting.shift();
    if (!section) return false;
    const { fields, ...told } = contentOf(section);
    const number = this.sections.push(told) - 1;
    const counts = new Map();
    let length = 0;
    for (const [field, weight] of Object.entries(WEIGHTS))
      for (const word of wordsOf(fields[field])) {
        counts.set(word, (counts.get(word) ?? 0) + weight);
        if (field === "text" || field === "caption") length += 1;
      }
    for (const [word, count] of counts) {
      if (!this.words.has(word)) this.words.set(word, []);
      this.words.get(word).push([number, count]);
    }
    this.headings.push(wordsOf(fields.heading.replace(/^[\d.]+ /, "")));
    this.lengths.push(length);
    this.total += length;
    return true;
  }

  finish() {
    while (this.step());
    return this;
  }

  /** Numbers of the sections that answer a question, the best first. */
  search(question) {
    const all = [...new Set(wordsOf(question))];
    const telling = all.filter((word) => !STOP_WORDS.has(word));
    const asked = telling.length ? telling : all;
    const mean = this.total / this.lengths.length;
    let rarities = 0;
    const found = new Map(); // section -> { score, words, heading }
    for (const word of asked) {
      const places = matching(this.words, word);
      const rarity = Math.log(1 + (this.lengths.length - places.size + 0.5) / (places.size + 0.5));
      rarities += rarity;
      for (const [number, count] of places) {
        const length = this.lengths[number] / mean;
        const held = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length);
        const entry = found.get(number) ?? { score: 0, words: 0, heading: 0 };
        entry.score += (rarity * count * (SATURATION + 1)) / (count + held);
        entry.words += rarity;
        if (this.headings[number].includes(word)) entry.heading += rarity;
        found.set(number, entry);
      }
    }
    const rank = new Map(
      [...found].map(([number, { score, words, heading }]) => [
        number,
        (score + HEADING_BONUS * heading * (0.5 + this.share(number, asked))) * (words / rarities) * this.prior(number),
      ]),
    );
    return [...rank.keys()].sort((a, b) => rank.get(b) - rank.get(a) || a - b);
  }

  /** How much of a title the question names: all of "Batch size", half of "Batch by batch". */
  share(number, asked) {
    const title = this.headings[number].filter((word) => !STOP_WORDS.has(word));
    return title.filter((word) => asked.includes(word)).length / Math.max(1, title.length);
  }

  /** Who asks wants the lesson: before its exercises, its summary and the audit. */
  prior(number) {
    const { title, above } = this.sections[number];
    const chapter = above.at(-1) ?? title;
    return (BACK_MATTER.test(title) ? 0.5 : 1) * (AUDIT.test(chapter) ? 0.5 : 1);
  }
}

/** Section -> frequency of a word; words that only begin with it count a third. */
function matching(words, word) {
  const found = new Map(words.get(word) ?? []);
  if (word.length > 2)
    for (const [other, places] of words)
      if (other !== word && other.startsWith(word))
        for (const [number, count] of places)
          found.set(number, (found.get(number) ?? 0) + count / 3);
  return found;
}

/** The search field and its list of answers, in the box that the page has for it. */
export function addSearch(box, main) {
  box.innerHTML =
    '<p class="told" role="status"></p><label for="question">Search</label>' +
    '<input id="question" type="search" autocomplete="off" spellcheck="false" ' +
    'role="combobox" aria-expanded="false" aria-controls="answers" ' +
    'aria-autocomplete="list" placeholder="press / to search">' +
    '<ul id="answers" role="listbox" aria-label="Sections found" hidden></ul>';
  const [field, list, told] = ["input", "ul", "p"].map((name) => box.querySelector(name));
  const index = new Index(main);
  let chosen = -1;

  // While the reader reads, a few milliseconds at a time; the first question finishes it.
  const idle = window.requestIdleCallback ?? ((act) => setTimeout(() => act(), 100));
  const work = (deadline) => {
    do if (!index.step()) return;
    while (deadline?.timeRemaining() > 8);
    idle(work);
  };
  idle(work);

  function answer() {
    index.finish();
    const question = field.value.trim();
    const found = question ? index.search(question).slice(0, 8) : [];
    list.replaceChildren(
      ...found.map((number, place) => {
        const { id, title, above } = index.sections[number];
        const item = document.createElement("li");
        item.id = `answer-${place}`;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        item.dataset.target = id;
        item.textContent = title;
        if (above.length) {
          const place = document.createElement("small");
          place.textContent = above.at(-1);
          item.append(" ", place);
        }
        return item;
      }),
    );
    list.hidden = found.length === 0;
    field.setAttribute("aria-expanded", String(!list.hidden));
    told.textContent = question
      ? found.length
        ? `${found.length} sections`
        : "Nothing found: try another word."
      : "";
    choose(-1);
  }

  function choose(place) {
    chosen = place;
    [...list.children].forEach((item, at) => {
      item.setAttribute("aria-selected", String(at === place));
      if (at === place) item.scrollIntoView({ block: "nearest" });
    });
    if (place < 0) field.removeAttribute("aria-activedescendant");
    else field.setAttribute("aria-activedescendant", `answer-${place}`);
  }

  function close() {
    list.hidden = true;
    field.setAttribute("aria-expanded", "false");
    told.textContent = "";
    choose(-1);
  }

  function go(item) {
    close();
    field.blur();
    goTo(item.dataset.target);
  }

  field.addEventListener("input", answer);
  field.addEventListener("keydown", (event) => {
    const count = list.hidden ? 0 : list.children.length;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && count) {
      event.preventDefault();
      choose(chosen < 0 && step < 0 ? count - 1 : (chosen + step + count) % count);
    } else if (event.key === "Enter" && count) go(list.children[Math.max(0, chosen)]);
    else if (event.key === "Escape") close();
  });
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const item = event.target.closest("li");
    if (item) go(item);
  });
  box.addEventListener("focusout", (event) => {
    if (!box.contains(event.relatedTarget)) close();
  });
  document.addEventListener("keydown", (event) => {
    const writes = event.target.closest?.("input, select, textarea");
    if (event.key === "/" && !writes && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      field.focus();
      field.scrollIntoView({ block: "nearest" });
    }
  });
}
