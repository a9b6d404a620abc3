/** The icons, fetched once and kept in the page, so that they are there when the server is not. */

const SPRITE = new URL("../vendor/icons.svg", import.meta.url);

/** Begins each icon's id in the page. */
export const ICON = "icon-";

export async function keepIcons() {
  const text = await (await fetch(SPRITE)).text();
  const sprite = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  sprite.querySelectorAll("symbol").forEach((symbol) => (symbol.id = `${ICON}${symbol.id}`));
  sprite.style.display = "none";
  document.body.append(sprite);
}
