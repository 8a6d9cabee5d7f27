"""The style of a report's page: light and dark, narrow and wide, screen and paper."""

STYLE = """\
:root {
  --paper: #ffffff; --ink: #1b1d20; --muted: #5a6068; --rule: #dcdfe3; --shade: #f4f5f7;
  --blue: #0072b2; --orange: #b84e00; --link: #00609a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --ink: #e3e5e8; --muted: #9aa2ab; --rule: #33383e; --shade: #1d2024;
    --blue: #5fb4e8; --orange: #f0954a; --link: #7cc3f0;
  }
}
* { box-sizing: border-box; }
html { color-scheme: light dark; scroll-behavior: smooth; text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 46rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  font-variant-numeric: lining-nums; overflow-wrap: break-word;
}
h1 { font-size: 2rem; line-height: 1.15; margin: 0 0 .35rem; letter-spacing: -.015em; }
h2 {
  font-size: 1.3rem; line-height: 1.25; margin: 3.5rem 0 1rem; padding-top: .9rem;
  border-top: 1px solid var(--rule); letter-spacing: -.005em;
}
h3 { font-size: 1rem; margin: 2rem 0 .5rem; }
p { margin: 0 0 1rem; max-width: 68ch; }
a { color: var(--link); text-underline-offset: .15em; }
.kind { color: var(--muted); margin: 0 0 1.25rem; }
.result { font-size: 1.2rem; line-height: 1.5; margin-bottom: 1.25rem; }
.note { color: var(--muted); font-size: .9rem; }
ul.note { padding-left: 1.2rem; max-width: 68ch; }
nav ol {
  list-style: none; margin: 1.75rem 0 0; padding: 0;
  display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .92rem;
}
dl {
  display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .3rem 1.25rem;
  margin: 0 0 1.25rem; font-size: .94rem; font-variant-numeric: tabular-nums;
}
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
.scroll { overflow-x: auto; margin: 0 0 1.5rem; max-width: 100%; }
.scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; }
table {
  border-collapse: collapse; font-size: .92rem; line-height: 1.4; min-width: min(100%, 27rem);
}
table.names, table.settings { min-width: 100%; }
caption { text-align: left; color: var(--muted); font-size: .9rem; padding: 0 0 .5rem; }
caption span {
  display: inline-block; position: sticky; left: 0; max-width: min(68ch, calc(100vw - 2.5rem));
}
th, td { padding: .34rem 1.1rem .34rem 0; text-align: left; vertical-align: baseline; }
th:last-child, td:last-child { padding-right: 0; }
thead th { font-weight: 600; border-bottom: 1px solid var(--ink); vertical-align: bottom; }
tbody tr { border-bottom: 1px solid var(--rule); }
tbody th { font-weight: 400; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead .number { white-space: normal; }
.names tbody th { overflow-wrap: anywhere; min-width: 7rem; }
.settings tbody th { padding-right: 1.5rem; }
.settings small { display: block; color: var(--muted); font-size: .92em; max-width: 56ch; }
th.whisker, td.whisker { width: 9rem; min-width: 6rem; vertical-align: middle; }
thead th.whisker { vertical-align: bottom; font-weight: 400; color: var(--muted); }
.whisker svg { display: block; width: 100%; height: .9rem; }
.whisker line { stroke: var(--blue); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.whisker rect { fill: var(--blue); }
code { font: .88em/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
pre {
  margin: 0 0 1.25rem; padding: .8rem 1rem; background: var(--shade); border-radius: 4px;
  overflow-x: auto; white-space: pre;
}
figure { margin: 0 0 1.75rem; }
figcaption { color: var(--muted); font-size: .9rem; margin-top: .5rem; max-width: 68ch; }
svg.plot { display: block; width: 100%; max-width: 33rem; height: auto; }
svg.plot * { stroke-linejoin: round; }
svg.plot text { fill: currentColor; font-family: inherit !important; }
figure > img { display: block; max-width: 100%; height: auto; }
.paper { background: #ffffff; border-radius: 4px; }
img.pixels { image-rendering: pixelated; }
.confusion table { min-width: 0; width: auto; font-size: .84rem; }
.confusion thead th {
  border: 0; padding: .4rem 0; font-weight: 400; text-align: left; vertical-align: middle;
  writing-mode: vertical-rl; rotate: 180deg;
}
.confusion tbody tr { border: 0; }
.confusion tbody th {
  padding: .2rem .8rem .2rem 0; white-space: nowrap; vertical-align: middle;
}
.confusion td {
  padding: 0; min-width: 2.5rem; height: 2.1rem; text-align: center; vertical-align: middle;
  border: 1px solid var(--paper); font-variant-numeric: tabular-nums;
  background-color: rgb(213 94 0 / var(--strength, 0));
}
.confusion td.none { color: var(--muted); opacity: .55; }
.confusion td.strong { color: #ffffff; }
.confusion td.right { background-color: rgb(0 114 178 / var(--strength, 0)); }
.confusion td.right { outline: 1px solid var(--ink); outline-offset: -2px; }
.mistakes {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr));
  gap: 1.5rem 1.1rem; margin: 0 0 1.5rem; padding: 0; list-style: none;
}
.mistakes figure { margin: 0; }
.mistakes img {
  width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--shade); border-radius: 3px;
}
.mistakes figcaption { font-size: .84rem; line-height: 1.4; overflow-wrap: anywhere; }
.mistakes b { color: var(--ink); font-weight: 600; }
.mistakes small { display: block; font-size: .92em; }
details { margin: 0 0 1.5rem; }
summary { cursor: pointer; color: var(--link); margin-bottom: .75rem; font-size: .94rem; }
footer {
  margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--rule);
  color: var(--muted); font-size: .88rem;
}
@media (min-width: 76rem) {
  body { max-width: 62rem; display: grid; grid-template-columns: 10rem minmax(0, 46rem);
    column-gap: 4rem; }
  header, main, footer { grid-column: 2; }
  nav { grid-column: 1; grid-row: 1 / span 2; }
  nav ol { position: sticky; top: 2.5rem; margin-top: .5rem; display: block; line-height: 2; }
}
@media (max-width: 34rem) {
  body { padding-top: 1.5rem; }
  h1 { font-size: 1.6rem; }
  .result { font-size: 1.08rem; }
  dl { grid-template-columns: 6.5rem minmax(0, 1fr); column-gap: .8rem; font-size: .88rem; }
  table { font-size: .84rem; }
  th, td { padding-right: .65rem; }
  th.whisker, td.whisker { display: none; }
  .confusion td { min-width: 1.9rem; }
  .mistakes { grid-template-columns: repeat(2, 1fr); gap: 1.1rem .8rem; }
}
@media print {
  :root {
    --paper: #ffffff; --ink: #000000; --muted: #444444; --rule: #bbbbbb; --shade: #f4f4f4;
    --blue: #0072b2; --orange: #b84e00; --link: #000000;
  }
  body { max-width: none; padding: 0; font-size: 10pt; display: block; }
  nav { display: none; }
  .scroll { overflow: visible; }
  pre { white-space: pre-wrap; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
  tr, figure, li, dt, dd { break-inside: avoid; }
  h2, h3, caption, thead { break-after: avoid; }
  .confusion td, .mistakes img { print-color-adjust: exact; }
}
"""
