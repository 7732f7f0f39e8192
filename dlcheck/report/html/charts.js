// The line charts, and what ties charts of one loader together: the same stretch of time.

const PALETTE = ["series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "series-7", "series-8", "series-9", "series-10"];
const FONT = "12px system-ui, sans-serif";

function timeAxis() {
  return {
    stroke: () => colour("muted"), font: FONT, size: 34, grid: { stroke: () => colour("grid") }, ticks: { stroke: () => colour("grid") },
    values: (u, splits) => splits.map((s) => moment(s, u.scales.x.max - u.scales.x.min)),
  };
}

// Charts that show the same time: a zoom of one is a zoom of all.
class Group {
  constructor(key, begin, end) {
    Object.assign(this, { key, begin, end, plots: [], following: false });
  }
  add(plot) {
    this.plots.push(plot);
    plot.over.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = plot.over.getBoundingClientRect();
      this.zoom(event.deltaY < 0 ? 0.7 : 1 / 0.7, (event.clientX - box.left) / box.width);
    }, { passive: false });
    plot.over.addEventListener("dblclick", () => this.reset());
  }
  follow(leader) {
    if (this.following) return;
    this.following = true;
    const { min, max } = leader.scales.x;
    if (min !== null && max !== null)
      for (const plot of this.plots)
        if (plot !== leader && (plot.scales.x.min !== min || plot.scales.x.max !== max)) plot.setScale("x", { min, max });
    this.following = false;
  }
  get range() {
    const { min, max } = this.plots[0].scales.x;
    return [min, max];
  }
  set(min, max) {
    const length = Math.min(max - min, this.end - this.begin);
    const from = Math.max(this.begin, Math.min(min, this.end - length));
    this.plots[0].setScale("x", { min: from, max: from + length });
  }
  zoom(factor, at = 0.5) {
    const [min, max] = this.range, length = Math.max((max - min) * factor, 1e-4);
    const centre = min + (max - min) * at;
    this.set(centre - length * at, centre + length * (1 - at));
  }
  move(share) {
    const [min, max] = this.range;
    this.set(min + (max - min) * share, max + (max - min) * share);
  }
  reset() {
    this.set(this.begin, this.end);
  }
}

// A chart of several series over time. series: [{name, values, colour, dash, stepped}].
function lines(host, group, times, series, format) {
  const chosen = series.filter((one) => one.values.some((value) => value !== null));
  if (!chosen.length) return null;
  const plot = new uPlot({
    width: host.clientWidth, height: 150, padding: [6, 12, 0, 0], legend: { show: chosen.length > 1 || Boolean(chosen[0].name) },
    cursor: { y: false, drag: { x: true, y: false }, sync: { key: group.key } },
    scales: { x: { time: false, range: (u, min, max) => [min ?? group.begin, max ?? group.end] }, y: { range: (u, min, max) => [0, (max || 1) * 1.08] } },
    series: [
      { label: "time", value: (u, v) => (v === null ? "" : moment(v, 1)) },
      ...chosen.map((one, i) => ({
        label: one.name, stroke: () => colour(one.colour || PALETTE[i % PALETTE.length]), width: 1.5, spanGaps: true, dash: one.dash,
        points: { show: false }, value: (u, v) => (v === null ? "" : format(v)), paths: one.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
      })),
    ],
    axes: [timeAxis(), {
      size: NAMES_PX, stroke: () => colour("muted"), font: FONT, grid: { stroke: () => colour("grid") }, ticks: { show: false },
      values: (u, splits) => splits.map((v) => format(v)),
    }],
    hooks: { setScale: [(u, key) => key === "x" && group.follow(u)] },
  }, [times, ...chosen.map((one) => one.values)], host);
  group.add(plot);
  plot.setScale("x", { min: group.begin, max: group.end });
  return plot;
}

// Throughput against the number of workers: the measured point, and what is predicted, with its interval.
function predictions(host, { measured, points }) {
  const xs = points.map((p) => p[0]);
  const rate = (v) => (v === null ? "" : v.toPrecision(3) + " /s");
  return new uPlot({
    width: Math.min(host.clientWidth, 560), height: 220, padding: [10, 16, 0, 0],
    cursor: { drag: { x: false, y: false } },
    scales: { x: { time: false, range: () => [Math.min(...xs) - 0.5, Math.max(...xs) + 0.5] }, y: { range: (u, min, max) => [0, max * 1.1] } },
    series: [
      { label: "workers" },
      { label: "predicted", stroke: () => colour("series-1"), width: 2, points: { show: true, size: 6 }, value: (u, v) => rate(v) },
      { label: "at least", stroke: () => colour("band"), width: 1, points: { show: false }, value: (u, v) => rate(v) },
      { label: "at most", stroke: () => colour("band"), width: 1, points: { show: false }, value: (u, v) => rate(v) },
      { label: "measured", stroke: () => colour("series-2"), width: 0, points: { show: true, size: 11, fill: colour("series-2") }, value: (u, v) => rate(v) },
    ],
    bands: [{ series: [3, 2], fill: () => colour("band") }],
    axes: [
      { stroke: () => colour("muted"), font: FONT, label: "num_workers", labelFont: FONT, labelSize: 18, grid: { show: false }, splits: () => xs, values: (u, s) => s.map(String) },
      { size: 70, stroke: () => colour("muted"), font: FONT, label: "batches per second", labelFont: FONT, labelSize: 18, grid: { stroke: () => colour("grid") } },
    ],
  }, [xs, points.map((p) => p[1]), points.map((p) => p[2]), points.map((p) => p[3]), xs.map((x) => (x === measured[0] ? measured[1] : null))], host);
}
