// Numbers with their units, as the rest of the report writes them.

function seconds(s) {
  const size = Math.abs(s);
  if (size < 1e-3) return (s * 1e6).toFixed(0) + " us";
  if (size < 0.9995) return (s * 1e3).toFixed(size >= 0.00995 ? 0 : 1) + " ms";
  if (size < 120) return s.toFixed(1) + " s";
  return size < 7200 ? (s / 60).toFixed(0) + " min" : (s / 3600).toFixed(1) + " h";
}

// A moment of the run, as exact as the range that is shown asks for.
function moment(s, range) {
  const digits = Math.max(0, Math.min(5, Math.ceil(2 - Math.log10(Math.max(range, 1e-9)))));
  if (s < 3600 || range < 60) return s.toFixed(digits) + " s";
  const minutes = Math.floor(s / 60);
  return Math.floor(minutes / 60) + ":" + String(minutes % 60).padStart(2, "0") + " h";
}

function amount(bytes) {
  if (bytes === null || bytes === undefined) return "?";
  for (const [unit, factor] of [["GB", 1e9], ["MB", 1e6], ["KB", 1e3]])
    if (Math.abs(bytes) >= factor) return (bytes / factor).toPrecision(3) + " " + unit;
  return bytes + " B";
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

// An element with text. Nothing is ever parsed as HTML: names come from the recording.
function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}
