// What happens when the page opens: the text is there already, this adds to it.

const main = document.querySelector("main");
const nav = document.querySelector("nav");
for (const heading of main.querySelectorAll("h2, h3, h4, h5"))
  heading.dataset.title = heading.textContent; // before links and buttons come into it

const tools = document.createElement("div");
tools.className = "tools";
tools.setAttribute("role", "region");
tools.setAttribute("aria-label", "Tools of the page");
const told = document.createElement("span");
told.className = "told";
told.setAttribute("role", "status");
let silence;

/** Tell in a few words what was done; a screen reader says it, too. */
function say(words) {
  told.textContent = words;
  clearTimeout(silence);
  silence = setTimeout(() => (told.textContent = ""), 3000);
}

const toContents = document.createElement("button");
toContents.type = "button";
toContents.className = "to-contents";
toContents.textContent = "Contents";
toContents.addEventListener("click", () => goTo("contents"));

tools.append(told, toContents);
document.body.append(tools);
addSearch(nav.querySelector(".search"), main);
addBack(tools);
addFoldSwitch(tools, main);
linkNumbers(main, say);
linkChapters(main);
addCopyButtons(main, say);
addPreviews(main);
for (const place of main.querySelectorAll(".exercise")) addCheck(place);
offerPlace(tools);
followReader(nav, main, keepPlace);
for (const place of main.querySelectorAll(".movable")) {
  const Made = "digit" in STARTS[place.dataset.part] ? Readers : Movable;
  new Made(place, place.dataset.part);
}
