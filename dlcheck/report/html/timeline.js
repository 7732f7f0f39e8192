// The loop, the pin-memory thread and the workers, one lane each, over time.

const LANE_PX = 26, AXIS_PX = 46, NAMES_PX = 96;

class Timeline {
  constructor(host, chart, data, group, onPick) {
    Object.assign(this, { chart, data, onPick });
    const { rows, lanes } = rowsOf(chart, data.states);
    Object.assign(this, { rows, lanes, bins: binsOf(chart), picked: null });
    this.complete = rows.length === chart.total;
    this.plot = new uPlot(this.options(host, group), [[chart.begin, chart.end].map((t) => t * data.unit_s), [null, null]], host);
    group.add(this.plot);
    this.listen();
  }

  options(host, group) {
    const names = this.chart.lanes, height = names.length * LANE_PX + AXIS_PX;
    return {
      width: host.clientWidth, height, padding: [4, 12, 0, 0], legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false }, sync: { key: group.key } },
      scales: { x: { time: false }, y: { dir: -1, range: () => [0, names.length] } },
      series: [{}, { show: true, scale: "y" }],
      axes: [
        timeAxis(),
        {
          size: NAMES_PX, side: 3, grid: { show: false }, ticks: { show: false }, stroke: () => colour("text"),
          font: "12px system-ui, sans-serif",
          splits: () => names.map((_, i) => i + 0.5), values: () => names,
        },
      ],
      hooks: { draw: [(u) => this.draw(u)], setScale: [(u, key) => key === "x" && group.follow(u)] },
    };
  }

  listen() {
    const over = this.plot.over;
    let down = null;
    over.addEventListener("mousedown", (event) => (down = event.clientX));
    over.addEventListener("click", (event) => {
      if (down === null || Math.abs(event.clientX - down) > 3) return;
      const box = over.getBoundingClientRect();
      this.pickAt(event.clientX - box.left, event.clientY - box.top);
    });
  }

  pickAt(x, y) {
    const unit = this.data.unit_s, u = this.plot;
    const t = u.posToVal(x, "x") / unit;
    const slack = ((u.scales.x.max - u.scales.x.min) / unit / u.over.clientWidth) * 4;
    const lane = Math.floor(u.posToVal(y, "y"));
    const span = this.lanes[lane] && this.lanes[lane].at(t, slack);
    this.pick(span ? span[3] : null);
  }

  // number: of a row; -2, -3, ...: of the waits that are not for a batch; null: nothing.
  pick(number) {
    this.picked = number;
    this.plot.redraw(false);
    this.onPick(number === null ? null : number >= 0 ? this.rows[number] : this.chart.others[-2 - number]);
  }

  // The waits that were kept, the longest first.
  waits() {
    return this.rows.map((row, i) => [row.wait || 0, i]).filter(([wait]) => wait > 0).sort((a, b) => b[0] - a[0]).map(([, i]) => i);
  }

  show(number) {
    const row = this.rows[number], unit = this.data.unit_s;
    const around = Math.max(row.wait, row.step, 1) * 6;
    const begin = Math.max(this.chart.begin, row.asked - around), end = Math.min(this.chart.end, row.asked + row.wait + around);
    this.plot.setScale("x", { min: begin * unit, max: end * unit });
    this.pick(number);
  }

  draw(u) {
    const { ctx, bbox } = u, unit = this.data.unit_s;
    const min = u.scales.x.min / unit, max = u.scales.x.max / unit, perUnit = bbox.width / (max - min);
    const laneHeight = bbox.height / this.lanes.length, gap = laneHeight * 0.14;
    const colours = this.data.states.map((name) => colour("c-" + name));
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    this.lanes.forEach((lane, number) => {
      const top = bbox.top + number * laneHeight + gap, height = laneHeight - 2 * gap;
      ctx.fillStyle = colour("lane");
      ctx.fillRect(bbox.left, top, bbox.width, height);
      const first = lane.from(min);
      let visible = 0;
      for (let i = first; i < lane.items.length && lane.items[i][0] < max; i++) visible++;
      const crowded = visible > bbox.width / 2;
      if (crowded || !this.complete) this.drawBins(ctx, bbox, number, min, max, perUnit, top, height, colours);
      if (crowded) return;
      for (let i = first; i < lane.items.length && lane.items[i][0] < max; i++) {
        const [begin, end, state] = lane.items[i];
        if (end < min) continue;
        ctx.fillStyle = colours[state];
        ctx.fillRect(bbox.left + (begin - min) * perUnit, top, Math.max(0.7, (end - begin) * perUnit - 0.3), height);
      }
    });
    this.drawPicked(ctx, bbox, min, perUnit, laneHeight, gap);
    ctx.restore();
  }

  drawBins(ctx, bbox, number, min, max, perUnit, top, height, colours) {
    const { begin, end, bins } = this.chart, width = (end - begin) / bins.count;
    const first = Math.max(0, Math.floor((min - begin) / width)), last = Math.min(bins.count - 1, Math.floor((max - begin) / width));
    for (let bin = first; bin <= last; bin++) {
      const left = bbox.left + (begin + bin * width - min) * perUnit;
      let bottom = top + height;
      for (const [state, shares] of this.bins[number]) {
        const part = (shares[bin] / 100) * height;
        if (!part) continue;
        ctx.fillStyle = colours[state];
        ctx.fillRect(left, bottom - part, width * perUnit + 0.5, part);
        bottom -= part;
      }
    }
  }

  // The picked batch: its wait outlined, and a line from where it was made to where it was taken.
  drawPicked(ctx, bbox, min, perUnit, laneHeight, gap) {
    if (this.picked === null) return;
    const x = (t) => bbox.left + (t - min) * perUnit;
    ctx.strokeStyle = colour("text");
    ctx.lineWidth = 2;
    const outline = (lane, begin, end) =>
      ctx.strokeRect(x(begin), bbox.top + lane * laneHeight + gap, Math.max(2, (end - begin) * perUnit), laneHeight - 2 * gap);
    if (this.picked < 0) {
      const [, begin, length] = this.chart.others[-2 - this.picked];
      outline(0, begin, begin + length);
      return;
    }
    const row = this.rows[this.picked];
    if (row.wait === null) return;
    outline(0, row.asked, row.asked + row.wait);
    const made = row.send_end ?? row.collate_end ?? row.collate_begin;
    if (row.lane === 0 || row.fetch_begin === null || made === null) return;
    outline(row.lane, row.fetch_begin, made);
    ctx.beginPath();
    ctx.moveTo(x(made), bbox.top + (row.lane + 0.5) * laneHeight);
    ctx.lineTo(x(row.asked + row.wait), bbox.top + laneHeight - gap);
    ctx.stroke();
  }
}

// What there is to say of a picked batch, as elements.
function describe(row, data) {
  const s = (units) => seconds(units * data.unit_s), said = [];
  if (Array.isArray(row)) {
    const [kind, begin, length, why] = row;
    said.push(element("p", `${data.kinds[kind] || kind} It took ${s(length)}, from ${moment(begin * data.unit_s, 1)} of the run.`));
    said.push(reasons(why, data));
    return said;
  }
  const by = row.worker === null ? "made by the loop itself" : `made by worker ${row.worker}`;
  const name = `batch ${row.idx} of epoch ${row.epoch + 1}`;
  if (row.wait === null) return [element("p", `The loop never got ${name}, ${by}.`)];
  said.push(element("p", `The loop waited ${s(row.wait)} for ${name}, ${by}. It asked at ${moment(row.asked * data.unit_s, 0.1)} of the run. What was going on:`));
  said.push(reasons(row.why, data));
  const parts = [];
  if (row.fetch_begin !== null && row.collate_begin !== null) {
    const cpu = row.fetch_cpu === null ? "" : ` (${row.fetch_cpu} % of it on the CPU)`;
    parts.push(`fetching it took ${s(row.collate_begin - row.fetch_begin)}${cpu}`);
  }
  if (row.collate_begin !== null && row.collate_end !== null) parts.push(`collating it ${s(row.collate_end - row.collate_begin)}`);
  if (row.collate_end !== null && row.send_end !== null) parts.push(`sending it ${s(row.send_end - row.collate_end)}`);
  if (row.pin_begin !== null && row.pin_end !== null) parts.push(`pinning it ${s(row.pin_end - row.pin_begin)}`);
  if (row.samples !== null) parts.push(`it holds ${row.samples} samples`);
  if (parts.length) said.push(element("p", parts.join(", ").replace(/^./, (c) => c.toUpperCase()) + "."));
  if (row.ready !== null && row.ready < 0) said.push(element("p", `It lay ready ${s(-row.ready)} before the loop asked for it.`));
  if (row.step) said.push(element("p", `The step after it took ${s(row.step)}.`));
  return said;
}

function reasons(why, data) {
  const list = element("ul");
  for (const [cause, detail, percent] of why) {
    const name = data.states[cause], item = element("li", `${percent} %  `);
    item.append(element("b", name), ` ${data.causes[name] || ""}${detail ? ` (${detail})` : ""}`);
    list.append(item);
  }
  return list;
}
