// Code: a button that copies it, and one switch for all that is folded.

/** Give every listing a button that copies it. */
export function addCopyButtons(main, say) {
  for (const listing of main.querySelectorAll("div.sourceCode")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy this code");
    button.addEventListener("click", async () => {
      const lines = [...listing.querySelectorAll("code > span")].map((line) => line.textContent);
      say((await copied(lines.join("\n"))) ? "Code copied" : "The browser forbids copying");
    });
    listing.append(button);
  }
}

/** A switch that opens or folds all folded code; what one reads stays where it is. */
export function addFoldSwitch(tools, main) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Open folded code";
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-pressed") !== "true";
    const read = [...main.querySelectorAll("p, summary, figure, h3, h4")].find(
      (e) => e.getBoundingClientRect().bottom > 60,
    );
    const before = read?.getBoundingClientRect().top;
    for (const details of main.querySelectorAll("details")) details.open = open;
    button.setAttribute("aria-pressed", String(open));
    if (read) window.scrollBy(0, read.getBoundingClientRect().top - before);
  });
  tools.append(button);
}
