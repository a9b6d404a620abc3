/** Dark, light, or what the system says; and the theme's colours for what is drawn on a canvas. */

import { computed, effect, signal } from "../vendor/signals.js";
import { theme } from "./settings.js";

const system = matchMedia("(prefers-color-scheme: light)");
const systemIsLight = signal(system.matches);
system.addEventListener("change", () => (systemIsLight.value = system.matches));

/** @type {import("../vendor/signals.js").ReadonlySignal<"dark" | "light">} */
export const shownTheme = computed(() =>
  theme.value === "dark" || theme.value === "light" ? theme.value : systemIsLight.value ? "light" : "dark");

effect(() => {
  document.documentElement.dataset.theme = shownTheme.value;
});

/** Dark, light, system, and round again. */
export function nextTheme() {
  const order = ["system", "dark", "light"];
  theme.value = order[(order.indexOf(theme.value) + 1) % order.length];
}

/** Colours of tokens.css, read once a theme. */
export const palette = computed(() => {
  const isDark = shownTheme.value === "dark";
  const styles = getComputedStyle(document.documentElement);
  const colour = (/** @type {string} */ name) => styles.getPropertyValue(name).trim();
  return {
    isDark,
    wave: colour("--wave"), waveDim: colour("--wave-dim"), hot: colour("--wave-hot"), cursor: colour("--cursor"),
    heat: Array.from({ length: 33 }, (_unused, step) => mix(colour("--wave"), colour("--wave-hot"), step / 32)),
    background: colour("--bg"),
    folders: Array.from({ length: 10 }, (_unused, index) => colour(`--folder-${index}`)),
    point: colour("--map-point"),
  };
});

/** @param {string} from "#rrggbb" @param {string} to @param {number} part */
function mix(from, to, part) {
  const [a, b] = [rgb(from), rgb(to)];
  return `rgb(${a.map((value, index) => Math.round(value + (b[index] - value) * part)).join(" ")})`;
}

/** @param {string} hex "#rrggbb" @returns {number[]} 0 to 255. */
export function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}
