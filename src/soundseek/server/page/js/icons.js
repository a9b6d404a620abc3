/** The icons, fetched once and kept in the page, so that they are there when the server is not. */

const SPRITE = new URL("../vendor/icons.svg", import.meta.url);

/** Begins each icon's id in the page. */
export const ICON = "icon-";

let areKept = false;

/** Fetches them unless they are there; where the server does not answer, the next call tries again. */
export async function keepIcons() {
  if (areKept) return;
  areKept = true;
  const text = await fetch(SPRITE).then((answer) => answer.text()).catch(() => null);
  areKept = text !== null;
  if (text === null) return;
  const sprite = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  sprite.querySelectorAll("symbol").forEach((symbol) => (symbol.id = `${ICON}${symbol.id}`));
  sprite.style.display = "none";
  document.body.append(sprite);
}
