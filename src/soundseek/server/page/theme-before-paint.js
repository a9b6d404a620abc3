// Runs before anything is painted, so that a page in the light theme never flashes dark.
try {
  const theme = localStorage.getItem("soundseek.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's theme holds.
}
