// Draws the charts of each loader when it comes into view, and answers buttons and keys.

function drawLoader(section, chart, data, number) {
  const host = (name) => section.querySelector(`[data-chart="${name}"]`);
  const part = (name) => section.querySelector(`[data-part="${name}"]`);
  const hide = (name) => part(name) && (part(name).hidden = true);
  const plots = [];
  if (chart.predictions && host("predictions")) plots.push(predictions(host("predictions"), chart.predictions));
  else hide("predictions");
  drawFlames(section, chart.flames);
  if (chart.begin === undefined) {
    hide("time");
    return plots;
  }
  const unit = data.unit_s, group = new Group(`loader-${number}`, chart.begin * unit, chart.end * unit);
  const panel = section.querySelector(".picked");
  const timeline = new Timeline(host("timeline"), chart, data, group, (row) =>
    panel.replaceChildren(...(row === null ? [element("p", panel.dataset.hint)] : describe(row, data)))
  );
  const inSeconds = (units) => units.map((t) => t * unit);
  const draw = (name, times, series, format) => {
    if (!lines(host(name), group, times, series, format)) hide(name);
  };
  draw("queue", inSeconds(summed(chart.queue.t_d)), [{ name: "batches ready", values: chart.queue.depth, stepped: true }], (v) => String(v));
  draw("rate", inSeconds(chart.rate.t), [{ name: "batches per second", values: chart.rate.batches_per_s }], (v) => v.toPrecision(3));
  const { t, series, machine_cores } = chart.usage, times = inSeconds(t);
  const each = (name, more = {}) => series.map((one, i) => ({ name: one.name, values: one[name], colour: PALETTE[i % PALETTE.length], ...more }));
  draw("cores", times, [...each("cores"), { name: "whole machine", values: machine_cores, colour: "muted", dash: [4, 4] }], (v) => v.toFixed(2));
  draw("memory", times, [...each("rss"), ...each("private", { dash: [3, 3] }).map((one) => ({ ...one, name: one.name + ", private" }))], amount);
  draw("read", times, each("read"), (v) => amount(v) + "/s");
  section.querySelector(".charts").dataset.drawn = "true";
  answer(section, timeline, group);
  return [...plots, ...group.plots];
}

function answer(section, timeline, group) {
  const longest = timeline.waits();
  let place = -1;
  const actions = {
    longest: () => longest.length && timeline.show(longest[(place = 0)]),
    next: () => longest.length && timeline.show(longest[(place = (place + 1) % longest.length)]),
    in: () => group.zoom(0.5),
    out: () => group.zoom(2),
    left: () => group.move(-0.4),
    right: () => group.move(0.4),
    all: () => group.reset(),
  };
  section.querySelectorAll("[data-action]").forEach((button) => button.addEventListener("click", () => actions[button.dataset.action]()));
  const keys = { "+": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all", n: "next" };
  section.querySelector(".charts").addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[keys[event.key]]();
  });
}

function drawFlames(section, stages) {
  const part = section.querySelector('[data-part="flames"]');
  if (!stages.length) {
    part.hidden = true;
    return;
  }
  const host = part.querySelector(".flame"), tabs = part.querySelector(".tabs");
  const buttons = stages.map(({ stage, samples, root }) => {
    const button = element("button", `${stage} (${samples} samples)`);
    button.type = "button";
    button.addEventListener("click", () => {
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      flame(host, root);
    });
    return button;
  });
  tabs.replaceChildren(...buttons);
  buttons[0].click();
}

async function start() {
  const drawn = [];
  const theme = document.getElementById("theme");
  theme.addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme.includes("dark");
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    drawn.forEach((plot) => plot.redraw(false));
  });
  theme.hidden = false;
  if (!("DecompressionStream" in window)) {
    document.querySelectorAll(".charts").forEach((part) => part.replaceChildren(element("p", "This browser is too old to draw the charts.")));
    return;
  }
  const data = await unpack(document.getElementById("numbers").textContent);
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting || target.dataset.begun) continue;
      target.dataset.begun = "true";
      seen.unobserve(target);
      const number = Number(target.dataset.number);
      drawn.push(...drawLoader(target, data.loaders[number], data, number));
    }
  }, { rootMargin: "400px" });
  document.querySelectorAll("section[data-number]").forEach((section) => seen.observe(section));
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    drawn.forEach((plot) => plot.setSize({ width: plot.root.parentElement.clientWidth, height: plot.height }));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((plot) => plot.redraw(false)));
}

start();
