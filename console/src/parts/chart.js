// A chart of counts over time: lines, a cursor that arrow keys move, its words for a screen reader, and the table behind it.
import uPlot from "uplot";
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../lib/html.js";
import { moment } from "../lib/words.js";
import { Table } from "./table.js";

const LINES = 8; // colours that can be told apart
const ROWS = 500; // of the table; a file has all of them
const SHORTEST = 60; // seconds of the axis
const WHOLE = [1, 2, 5].flatMap((one) => Array.from({ length: 10 }, (_, power) => one * 10 ** power)).sort((a, b) => a - b);
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Days where a day has passed since the mark before, else hours and minutes, and seconds where marks are that near.
function markNames(zone) {
  const written = (parts) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...parts });
  const day = written({ day: "numeric", month: "short" });
  const minute = written({ hour: "2-digit", minute: "2-digit" });
  const second = written({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return (_, marks, _axis, _room, step) => marks.map((mark, index) => {
    const date = new Date(mark * 1000);
    const newDay = index > 0 && day.format(date) !== day.format(new Date(marks[index - 1] * 1000));
    if (step >= 86400 || newDay) return day.format(date);
    return (step < 60 ? second : minute).format(date);
  });
}

// All times, and at least a minute. uPlot's own ends are years apart for a single point.
function shownTimes(plot, first, last) {
  const times = plot.data[0];
  return times.length ? [Math.min(times[0], times.at(-1) - SHORTEST), times.at(-1)] : [first, last];
}

function options({ lines, height, width, show, whole, onPoint, zone }) {
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  return {
    width,
    height,
    legend: { show: false },
    tzDate: zone && ((time) => uPlot.tzDate(new Date(time * 1000), zone)),
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { time: true, range: shownTimes }, y: { range: (_, _low, high) => [0, Math.max(high, 1e-9) * 1.08 || 1] } },
    axes: [{ ...axis, size: 34, values: markNames(zone) }, { ...axis, size: 56, values: (_, values) => values.map(show), ...(whole ? { incrs: WHOLE } : {}) }],
    series: [
      {},
      ...lines.map((line, index) => ({
        label: line.name,
        stroke: colour(`--line-${(line.colour ?? index) % LINES}`),
        width: line.before ? 1.25 : 2,
        dash: line.before ? [5, 4] : undefined,
        points: { show: line.values.length < 3 },
        spanGaps: true,
      })),
    ],
    hooks: { setCursor: [(plot) => onPoint(plot.cursor.idx)] },
  };
}

function useWidth(element) {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    watch.observe(element.current);
    return () => watch.disconnect();
  }, []);
  return width;
}

function useThemeNumber() {
  const [number, setNumber] = useState(0);
  useEffect(() => {
    const more = () => setNumber((before) => before + 1);
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", more);
    window.addEventListener("dmp-theme", more);
    return () => {
      system.removeEventListener("change", more);
      window.removeEventListener("dmp-theme", more);
    };
  }, []);
  return number;
}

// The uPlot of a figure: made again when its lines, its width or the colours change, else only given new numbers.
function usePlot(place, { times, lines, height, show, whole, onPoint, zone }) {
  const plot = useRef(null);
  const width = useWidth(place);
  const theme = useThemeNumber();
  const names = lines.map((line) => line.name).join("\n");
  const data = [times, ...lines.map((line) => line.values)];
  useEffect(() => {
    if (!width) return undefined;
    plot.current = new uPlot(options({ lines, height, width, show, whole, onPoint, zone }), data, place.current);
    return () => plot.current.destroy();
  }, [names, width, theme, height, zone]);
  useEffect(() => plot.current?.setData(data), [times, lines]);
  return plot;
}

function Legend({ lines, index, show }) {
  return html`<ul class="legend">${lines.map((line, number) => html`<li class=${line.before ? "before" : ""}>
    <i class=${`stroke stroke-${(line.colour ?? number) % LINES}`}></i>${line.name}${index !== null && html` <b>${show(line.values[index] ?? 0)}</b>`}
  </li>`)}</ul>`;
}

// times: Unix seconds, ascending. zone: the time zone of the axis, the browser's if there is none. whole: the values are whole numbers. lines: [{name, values, before, colour}]. show: a value as text. moments: a time as text.
export function Chart({ title, times, lines, height = 220, show = String, moments = moment, whole = false, zone, table = true }) {
  const place = useRef();
  const [index, setIndex] = useState(null);
  const [read, setRead] = useState(null);
  const plot = usePlot(place, { times, lines, height, show, whole, zone, onPoint: (point) => setIndex(point ?? null) });
  const words = (point) => `${moments(times[point])}: ${lines.map((line) => `${line.name} ${show(line.values[point] ?? 0)}`).join(", ")}`;
  const onKeyDown = (event) => {
    const last = times.length - 1;
    const next = { Home: 0, End: last }[event.key] ?? (event.key in STEPS ? Math.min(last, Math.max(0, (read ?? last) + STEPS[event.key])) : null);
    if (next === null || !plot.current) return;
    event.preventDefault();
    setRead(next);
    plot.current.setCursor({ left: plot.current.valToPos(times[next], "x"), top: 0 });
  };
  const rows = times.map((time, point) => ({ time, point }));
  return html`<figure class="chart">
    <figcaption><h2>${title}</h2><${Legend} lines=${lines} index=${index} show=${show} /></figcaption>
    <div class="plot" ref=${place} tabindex="0" role="img" onKeyDown=${onKeyDown}
      aria-label=${`${title}: a chart with ${times.length} points. Arrow keys read them; the table below has them all.`}></div>
    <p class="reading" aria-live="polite">${read !== null && read < times.length ? words(read) : index !== null && index < times.length ? moments(times[index]) : "\u00a0"}</p>
    ${table && html`<details><summary>Show as table</summary>
      <${Table} label=${title} rows=${rows.slice(-ROWS).reverse()}
        columns=${[{ name: "Time", of: (row) => moments(row.time) }, ...lines.map((line) => ({ name: line.name, numeric: true, of: (row) => show(line.values[row.point] ?? 0) }))]} />
      ${rows.length > ROWS && html`<p class="quiet">The last ${ROWS} of ${rows.length} points; the CSV has all of them.</p>`}
    </details>`}
  </figure>`;
}
