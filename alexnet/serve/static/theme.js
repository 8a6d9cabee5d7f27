// Light or dark, set before the first paint: what the reader chose, or else what the system has.
// This is no module, since modules run after the page has been drawn.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const set = () => {
    const chosen = window.localStorage.getItem("theme");
    document.documentElement.dataset.theme = chosen ?? (dark.matches ? "dark" : "light");
  };
  set();
  dark.addEventListener("change", set);
  window.addEventListener("theme", set);
})();
