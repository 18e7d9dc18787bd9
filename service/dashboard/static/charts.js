// Draws the charts of a page with uPlot, in the colours of the style sheet.
"use strict";

const HEIGHT = 190;
const drawn = new Map();

/** A colour of the style sheet as the canvas takes it: light-dark() is worked out by the browser. */
function resolved(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const axis = (more) => ({
  stroke: resolved("quiet"), grid: { stroke: resolved("line"), width: 1 }, ticks: { show: false },
  font: "12px system-ui, sans-serif", ...more,
});

function seriesOf(line, kind) {
  const stroke = resolved(line.colour);
  const bars = kind === "bars" ? { paths: uPlot.paths.bars({ size: [0.75, 40] }), fill: stroke } : { width: 2 };
  const points = { show: kind === "ms", size: 5, fill: stroke };
  return { label: line.label, stroke, points, spanGaps: true, ...bars };
}

/** Bars of several kinds stand on each other: each is drawn as high as all below it, the highest first. */
function stacked(lines) {
  const sums = lines[0].values.map(() => 0);
  return lines.map((line) => line.values.map((value, at) => (sums[at] += value ?? 0)));
}

/** Hours and minutes, or days where more than two of them are shown. */
function times(chart, ticks) {
  const days = (chart.scales.x.max - chart.scales.x.min) / 86400;
  const two = (number) => String(number).padStart(2, "0");
  return ticks.map((tick) => {
    const at = new Date(tick * 1000);
    return days > 2 ? `${two(at.getMonth() + 1)}-${two(at.getDate())}` : `${two(at.getHours())}:${two(at.getMinutes())}`;
  });
}

function draw(plot) {
  const { kind, at, lines } = JSON.parse(plot.dataset.chart);
  const shown = kind === "bars" ? lines.filter((line) => line.values.some(Boolean)) : lines;
  const values = kind === "bars" && shown.length ? stacked(shown).reverse() : shown.map((line) => line.values);
  const order = kind === "bars" ? [...shown].reverse() : shown;
  const unit = (_, ticks) => ticks.map((tick) => (kind === "ms" ? `${tick} ms` : tick.toLocaleString()));
  const chart = new uPlot({
    width: plot.clientWidth,
    height: HEIGHT,
    legend: { live: false },
    cursor: { show: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] } },
    axes: [axis({ values: times }), axis({ size: 64, values: unit })],
    series: [{}, ...order.map((line) => seriesOf(line, kind))],
  }, [at, ...values], plot);
  drawn.set(plot, chart);
}

function drawAll() {
  for (const [plot, chart] of drawn) if (!plot.isConnected) { chart.destroy(); drawn.delete(plot); }
  for (const plot of document.querySelectorAll(".plot[data-chart]")) if (!drawn.has(plot)) draw(plot);
}

function redraw() {
  for (const [plot, chart] of drawn) { chart.destroy(); drawn.delete(plot); }
  drawAll();
}

drawAll();
document.addEventListener("htmx:sseMessage", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
window.addEventListener("resize", () => {
  for (const [plot, chart] of drawn) chart.setSize({ width: plot.clientWidth, height: HEIGHT });
});
