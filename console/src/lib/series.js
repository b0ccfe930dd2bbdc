// Answers of GET /stats as lines of a chart.
export const MEASURES = [
  { id: "impressions", name: "Impressions", of: (point) => point.impressions },
  { id: "clicks", name: "Clicks", of: (point) => point.clicks },
  { id: "rate", name: "Click-through rate", of: (point) => (point.impressions ? point.clicks / point.impressions : 0) },
];
const MOST_GROUPS = 8; // as many colours as there are

export const timesOf = (series) => [...new Set(series.map((point) => Date.parse(point.ts) / 1000))].sort((a, b) => a - b);

export function totals(series) {
  const sum = (name) => series.reduce((all, point) => all + point[name], 0);
  return { impressions: sum("impressions"), clicks: sum("clicks"), events: sum("events") };
}

// The groups, those with most events first; the name is empty for events that have none.
function groupsOf(series) {
  const events = new Map();
  for (const point of series) events.set(point.group, (events.get(point.group) ?? 0) + point.events);
  return [...events].sort((a, b) => b[1] - a[1]).map(([name]) => name);
}

// {times, lines(measure), left}: one line, or one for each of the largest groups; `left` is how many groups are not drawn. `before` is the series of
// the range before, whose points stand below those of the same position now.
export function drawn({ series, before, groupBy }) {
  const times = timesOf(series);
  const position = new Map(times.map((time, index) => [time, index]));
  const groups = groupBy ? groupsOf(series) : [];
  const lines = (measure) => {
    const place = (points, at) => {
      const values = Array(times.length).fill(0);
      for (const point of points) {
        const index = at.get(Date.parse(point.ts) / 1000);
        if (index !== undefined) values[index] = measure.of(point);
      }
      return values;
    };
    if (groupBy) {
      return groups.slice(0, MOST_GROUPS).map((group) => ({
        name: group || "(none)",
        values: place(series.filter((point) => point.group === group), position),
      }));
    }
    const colour = MEASURES.indexOf(measure);
    const now = { name: measure.name, values: place(series, position), colour };
    if (!before) return [now];
    const positionBefore = new Map(timesOf(before).map((time, index) => [time, index]));
    return [now, { name: "the range before", values: place(before, positionBefore), before: true, colour }];
  };
  return { times, lines, left: Math.max(0, groups.length - MOST_GROUPS) };
}
