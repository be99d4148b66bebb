// Contents that follow the reader, chapters in a row, and a place kept between visits.

const KEPT = "convolution-report-place";

/** Mark in the contents where the reader is, and tell `arrived` the section's id. */
export function followReader(nav, main, arrived) {
  const links = new Map(
    [...nav.querySelectorAll('a[href^="#"]')].map((a) => [decodeURIComponent(a.hash.slice(1)), a]),
  );
  const inSight = new Set();
  let marked;
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries)
        if (isIntersecting) inSight.add(target);
        else inSight.delete(target);
      // A section follows the one it lies in: the last one is the innermost.
      const current = [...inSight]
        .sort((a, b) => (a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1))
        .at(-1);
      const link = current && links.get(current.id);
      if (!link || link === marked) return;
      marked?.removeAttribute("aria-current");
      link.setAttribute("aria-current", "location");
      marked = link;
      arrived(current.id);
      keepInSight(nav, link);
    },
    { rootMargin: "-15% 0px -80% 0px" },
  );
  for (const section of main.querySelectorAll("section[id]"))
    if (links.has(section.id)) watcher.observe(section);
}

/** Scroll the contents alone, and only where they have a scroll bar of their own. */
function keepInSight(nav, link) {
  if (nav.scrollHeight <= nav.clientHeight + 1) return;
  const [box, place] = [nav.getBoundingClientRect(), link.getBoundingClientRect()];
  if (place.top < box.top + 80 || place.bottom > box.bottom - 80)
    nav.scrollTop += place.top - box.top - box.height / 3;
}

/** Put links to the chapter before and after at the end of each chapter. */
export function linkChapters(main) {
  const chapters = [...main.children].filter((e) => e.matches("section[id]"));
  chapters.forEach((chapter, at) => {
    const row = document.createElement("p");
    row.className = "chapters for-scripts";
    for (const [other, sign] of [
      [chapters[at - 1], "← "],
      [chapters[at + 1], ""],
    ]) {
      const link = document.createElement("a");
      if (!other) continue;
      link.href = `#${other.id}`;
      link.textContent = `${sign}${other.querySelector("h2").dataset.title}${sign ? "" : " →"}`;
      row.append(link);
    }
    if (row.children.length) chapter.append(row);
  });
}

/** Remember the section one is in. A browser that keeps nothing is no mistake. */
export function keepPlace(identifier) {
  try {
    localStorage.setItem(KEPT, identifier);
  } catch {
    /* storage is off */
  }
}

/** Offer to go on where the last visit ended, when the page opens at its top. */
export function offerPlace(tools) {
  let kept;
  try {
    kept = localStorage.getItem(KEPT);
  } catch {
    return;
  }
  const section = kept && document.getElementById(kept);
  if (!section || location.hash || window.scrollY > 200) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = `Go on at ${section.querySelector("h2, h3, h4, h5").dataset.title}`;
  button.addEventListener("click", () => {
    button.remove();
    goTo(kept);
  });
  tools.prepend(button);
  const leave = () => {
    if (window.scrollY < 600) return;
    button.remove();
    window.removeEventListener("scroll", leave);
  };
  window.addEventListener("scroll", leave, { passive: true });
}
