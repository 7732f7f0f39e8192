// The packed numbers of the page, unpacked once: lists of differences summed up, runs written out.

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new DecompressionStream("deflate"), writer = stream.writable.getWriter();
  writer.write(bytes);
  writer.close();
  const decoder = new TextDecoder(), reader = stream.readable.getReader();
  let json = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) json += decoder.decode(part.value, { stream: true });
  return JSON.parse(json);
}

function summed(differences) {
  let sum = 0;
  return differences.map((d) => (sum += d));
}

function writtenOut(runs, count) {
  const values = new Uint8Array(count);
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    values.fill(runs[i], at, at + runs[i + 1]);
    at += runs[i + 1];
  }
  return values;
}

// What one lane was at, one span after the other: times in units, the state, and the row of its batch (-1: none).
class Spans {
  constructor() {
    this.items = [];
  }
  add(begin, end, state, row) {
    if (end > begin) this.items.push([begin, end, state, row]);
  }
  sort() {
    this.items.sort((a, b) => a[0] - b[0]);
    this.longest = this.items.reduce((most, s) => Math.max(most, s[1] - s[0]), 0);
    return this;
  }
  // The first span that may reach beyond t.
  from(t) {
    let low = 0, high = this.items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.items[middle][0] < t - this.longest) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  // The span at t, or the nearest one that is no further away than slack.
  at(t, slack) {
    let best = null, least = slack;
    for (let i = this.from(t - slack); i < this.items.length && this.items[i][0] <= t + slack; i++) {
      const [begin, end] = this.items[i];
      const distance = t < begin ? begin - t : t > end ? t - end : -1 / (1 + end - begin);
      if (distance <= least) [best, least] = [this.items[i], distance];
    }
    return best;
  }
}

// The chosen batches of a loader, and the spans of every lane that follow from them.
function rowsOf(chart, states) {
  const columns = chart.rows;
  const number = Object.fromEntries(states.map((name, i) => [name, i]));
  const lanes = chart.lanes.map(() => new Spans());
  const asked = summed(columns.asked_d), idx = summed(columns.idx_d), epoch = summed(columns.epoch_d);
  const pin = chart.lanes.indexOf("pin memory");
  const rows = asked.map((t, i) => {
    const row = { asked: t, idx: idx[i], epoch: epoch[i] };
    for (const name of ["wait", "step", "ready", "lane", "worker", "samples", "why", "fetch_cpu"]) row[name] = columns[name][i];
    for (const name of ["fetch_begin", "collate_begin", "collate_end", "send_end", "pin_begin", "pin_end"]) {
      const value = columns[name][i];
      row[name] = value === null ? null : t + value;
    }
    if (row.wait !== null) {
      lanes[0].add(t, t + row.wait, row.why.length ? row.why[0][0] : number.unknown, i);
      lanes[0].add(t + row.wait, t + row.wait + row.step, number.step, i);
    }
    if (row.worker !== null && row.lane > 0) {
      const lane = lanes[row.lane];
      if (row.fetch_begin !== null && row.collate_begin !== null) lane.add(row.fetch_begin, row.collate_begin, number.fetch, i);
      if (row.collate_begin !== null && row.collate_end !== null) lane.add(row.collate_begin, row.collate_end, number.collate, i);
      if (row.collate_end !== null && row.send_end !== null) lane.add(row.collate_end, row.send_end, number.send, i);
    }
    if (pin > 0 && row.pin_begin !== null && row.pin_end !== null) lanes[pin].add(row.pin_begin, row.pin_end, number.pin, i);
    return row;
  });
  chart.others.forEach(([, begin, length, why], i) => lanes[0].add(begin, begin + length, why.length ? why[0][0] : number.unknown, -2 - i));
  return { rows, lanes: lanes.map((lane) => lane.sort()) };
}

function binsOf(chart) {
  return chart.bins.lanes.map((lane) =>
    Object.entries(lane).map(([state, runs]) => [Number(state), writtenOut(runs, chart.bins.count)])
  );
}
