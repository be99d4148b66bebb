// Links: copied from numbers, previewed, and the way back after a jump.

const NUMBERED = "section[id], .equation[id], figure[id], table[id]";

/** Make the number of every heading, equation, figure and table a link that is copied. */
export function linkNumbers(main, say) {
  for (const target of main.querySelectorAll(NUMBERED)) {
    const number = target.querySelector(
      target.matches("section")
        ? ":is(h2, h3, h4, h5) > .number"
        : ":scope > .number, :scope > :is(figcaption, caption) strong",
    );
    if (!number) continue;
    const link = document.createElement("a");
    link.className = "own";
    link.href = `#${target.id}`;
    link.title = "Copy the link to this place";
    link.append(...number.childNodes);
    number.append(link);
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      history.replaceState(null, "", link.href);
      say((await copied(link.href)) ? "Link copied" : `The link: ${link.href}`);
    });
  }
}

/** Put a text on the clipboard; false where the browser forbids it. */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/** Open whatever is folded around an element, so that one can get to it. */
export function unfoldAround(element) {
  for (let e = element; e; e = e.parentElement) if (e.matches("details")) e.open = true;
}

const jumps = []; // where the reader was before each jump, the last one at the end
let backButton;

/** A button that brings back to where one was; links and the search remember it. */
export function addBack(tools) {
  backButton = document.createElement("button");
  backButton.type = "button";
  backButton.textContent = "↩ Back to where I was";
  backButton.hidden = true;
  backButton.addEventListener("click", () => {
    const { y, link } = jumps.pop();
    backButton.hidden = jumps.length === 0;
    window.scrollTo({ top: y, behavior: "instant" });
    link?.focus({ preventScroll: true });
  });
  tools.append(backButton);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]:not(.own, .skip)');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    goTo(decodeURIComponent(link.hash.slice(1)), link);
  });
  const arrive = () => unfoldAround(document.getElementById(decodeURIComponent(location.hash.slice(1))));
  window.addEventListener("hashchange", arrive);
  arrive();
}

/** Jump to the element of this id, and remember where the reader was. */
export function goTo(identifier, link = null) {
  const target = document.getElementById(identifier);
  if (!target) return;
  jumps.push({ y: window.scrollY, link });
  backButton.hidden = false;
  unfoldAround(target);
  history.pushState(null, "", `#${identifier}`);
  target.scrollIntoView({ behavior: "instant" });
  // The keyboard goes on from there; what is no control takes the focus only this way.
  if (!target.hasAttribute("tabindex")) target.setAttribute("tabindex", "-1");
  target.focus({ preventScroll: true });
}

const DELAY = 250; // ms before a preview comes, and before it goes

/** Show what a reference leads to beside it, on hover and when the keyboard is there. */
export function addPreviews(main) {
  const card = document.createElement("div");
  card.className = "preview";
  card.id = "preview";
  card.setAttribute("role", "tooltip");
  card.hidden = true;
  document.body.append(card);
  let timer, shownFor;

  function show(link) {
    const target = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (!target) return;
    hide();
    card.replaceChildren(...essence(target));
    for (const element of card.querySelectorAll("[id], [tabindex]")) {
      element.removeAttribute("id");
      element.removeAttribute("tabindex");
    }
    card.hidden = false;
    const place = link.getBoundingClientRect();
    const { width, height } = card.getBoundingClientRect();
    const left = Math.min(place.left, document.documentElement.clientWidth - width - 12);
    const above = place.bottom + height + 12 > window.innerHeight && place.top > height + 12;
    card.style.left = `${Math.max(12, left)}px`;
    card.style.top = `${above ? place.top - height - 6 : place.bottom + 6}px`;
    link.setAttribute("aria-describedby", "preview");
    shownFor = link;
  }

  function hide() {
    card.hidden = true;
    shownFor?.removeAttribute("aria-describedby");
    shownFor = undefined;
  }

  const later = (act) => {
    clearTimeout(timer);
    timer = setTimeout(act, DELAY);
  };
  const linkOf = (event) => event.target.closest?.('a[href^="#"]:not(.own)');
  main.addEventListener("mouseover", (event) => {
    const link = linkOf(event);
    if (link) later(() => show(link));
    else if (!card.hidden) later(hide);
    else clearTimeout(timer);
  });
  main.addEventListener("mouseleave", (event) => {
    if (!card.contains(event.relatedTarget)) later(hide);
  });
  card.addEventListener("mouseenter", () => clearTimeout(timer));
  card.addEventListener("mouseleave", () => later(hide));
  main.addEventListener("focusin", (event) => {
    const link = linkOf(event);
    if (link?.matches(":focus-visible")) show(link);
    else hide();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("click", () => {
    clearTimeout(timer);
    hide();
  });
  window.addEventListener("scroll", hide, { passive: true });
}

/** Copies of what a preview shows: all of a figure, the opening of a section. */
function essence(target) {
  const whole = target.matches("table") ? target.closest(".scrolling") : target;
  if (!target.matches("section")) return [whole.cloneNode(true)];
  const text = [...target.children].find((e) => e.matches("p, .finding, ul, ol"));
  const title = document.createElement("p");
  title.className = "title";
  title.textContent = target.querySelector("h2, h3, h4, h5").dataset.title;
  return text ? [title, text.cloneNode(true)] : [title];
}
