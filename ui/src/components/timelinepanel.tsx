// The timeline on top of Explore: CPU over time, split by a label, with a brush.

import { computed, signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { Timeline, type TimelineSeries } from '../chart/timeline.ts';
import { profileType, series } from '../data.ts';
import { formatBytes, formatClock, formatCores, formatCount, formatDate, isCpuTime, typeLabel, typeParts } from '../format.ts';
import { formatSelector, parseSelector, withEqual } from '../selector.ts';
import { range, state, theme, update } from '../state.ts';
import { describeSpan, type TimeRange } from '../time.ts';
import { parseSelection } from '../url.ts';
import { Icon } from './icons.tsx';

const SERIES_MAX = 8;

const COLORS = {
  dark: ['#6ea8fe', '#45b3bd', '#a58be0', '#ff8a3d', '#5fbf77', '#e0729c', '#cfa63d', '#8793ab'],
  light: ['#2f6fe4', '#1f8f9a', '#7c5ccc', '#d9590a', '#2f8f4b', '#c24478', '#a67c00', '#5c6880'],
} as const;
const REST_COLOR = { dark: '#4a5468', light: '#aeb5c2' } as const;

interface Group extends TimelineSeries {
  /** The value of the group-by label; undefined for the rest of all groups. */
  label: string | undefined;
}

/** Series as rates, the largest first, everything beyond the eighth summed up. */
const groups = computed<Group[]>(() => {
  const answer = series.data.value;
  if (!answer) return [];
  const { by } = state.value;
  const perStep = rateDivisor(profileType.value, answer.step_ms);
  const colors = COLORS[theme.value];
  const ranked = answer.series
    .map(({ labels, values }) => ({ label: labels[by] ?? '', values: values.map((value) => value / perStep) }))
    .sort((a, b) => sum(b.values) - sum(a.values));
  const shown: Group[] = ranked.slice(0, SERIES_MAX).map(({ label, values }, index) => ({
    label,
    name: by === '' ? 'CPU' : label === '' ? '(none)' : label,
    color: colors[index % colors.length]!,
    values,
  }));
  const rest = ranked.slice(SERIES_MAX);
  if (rest.length > 0) shown.push(restOf(rest.map(({ values }) => values), REST_COLOR[theme.value]));
  return shown;
});

function restOf(all: readonly number[][], color: string): Group {
  const values = (all[0] ?? []).map((_, step) => all.reduce((total, one) => total + (one[step] ?? 0), 0));
  return { label: undefined, name: `${all.length} more`, color, values };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Time per elapsed time is cores; counts are per second; sizes stay as they are. */
function rateDivisor(type: string, stepMs: number): number {
  const { unit } = typeParts(type);
  if (unit === 'nanoseconds') return stepMs * 1e6;
  return unit === 'bytes' ? 1 : stepMs / 1000;
}

function rateText(type: string, value: number): string {
  const { unit } = typeParts(type);
  if (isCpuTime(type)) return `${formatCores(value)} cores`;
  if (unit === 'nanoseconds') return `${formatCores(value)} s/s`;
  return unit === 'bytes' ? formatBytes(value) : `${formatCount(value)} /s`;
}

function axisText(type: string, value: number): string {
  const { unit } = typeParts(type);
  if (unit === 'bytes') return formatBytes(value);
  if (unit !== 'nanoseconds') return formatCount(value);
  return String(Number(value.toPrecision(3)));
}

/** The brush while it is dragged; the URL gets it at the end. */
const dragged = signal<TimeRange | null>(null);
const chosen = computed(() => dragged.value ?? parseSelection(state.value.sel));
const pointer = signal<{ step: number; x: number; y: number } | null>(null);

export function TimelinePanel() {
  const host = useRef<HTMLDivElement>(null);
  const timeline = useRef<Timeline | null>(null);
  useEffect(() => {
    if (!host.current) return undefined;
    const created = (timeline.current = new Timeline(host.current, {
      brush: (selection, done) => {
        dragged.value = done ? null : selection;
        if (done) update({ sel: selection ? `${selection.from}-${selection.to}` : '' });
      },
      hover: (step, x, y) => {
        pointer.value = step < 0 ? null : { step, x, y };
      },
    }));
    return () => created.dispose();
  }, []);
  const answer = series.data.value;
  const type = profileType.value;
  useEffect(() => {
    if (!answer) return;
    timeline.current?.show(
      {
        start: answer.start,
        stepMs: answer.step_ms,
        series: groups.value,
        range: { from: answer.start, to: Math.max(range.value.to, answer.start + answer.step_ms) },
        selection: chosen.value,
        formatAxis: (value) => axisText(type, value),
      },
      `${rateText(type, peak())} at most, ${describeSpan(range.value)}`,
    );
  }, [answer, groups.value, chosen.value, theme.value, type]);
  return (
    <section class="card timeline" aria-label="Timeline">
      <Legend />
      <div class="timeline-canvas" ref={host} />
      <TimelineTooltip />
    </section>
  );
}

function peak(): number {
  const totals = (groups.peek()[0]?.values ?? []).map((_, step) =>
    groups.peek().reduce((total, group) => total + (group.values[step] ?? 0), 0),
  );
  return Math.max(0, ...totals);
}

/** Group names that filter, and what to do with the marked part of the range. */
function Legend() {
  const { by } = state.value;
  const marked = chosen.value;
  return (
    <div class="timeline-legend">
      {by === '' && <span>{isCpuTime(profileType.value) ? 'CPU cores in use' : typeLabel(profileType.value)}</span>}
      {by !== '' &&
        groups.value.map((group) => (
          <button key={group.name} type="button" disabled={group.label === undefined} title={`Only ${by} ${group.name}`} onClick={() => filterBy(by, group.label ?? '')}>
            <i style={{ background: group.color }} />
            {group.name}
          </button>
        ))}
      <span class="spacer" />
      {!marked && <span class="quiet hide-small">drag to pick a part of the range</span>}
      {marked && (
        <>
          <span class="quiet">{describeSpan(marked)}</span>
          <button type="button" class="link" onClick={() => update({ from: String(marked.from), to: String(marked.to), sel: '' })}>
            <Icon name="zoom" /> zoom in
          </button>
          <button type="button" class="link" onClick={() => update({ sel: '' })}>
            <Icon name="close" /> clear
          </button>
        </>
      )}
    </div>
  );
}

function filterBy(name: string, value: string): void {
  const matchers = parseSelector(state.peek().q);
  if (matchers) update({ q: formatSelector(withEqual(matchers, name, value)), by: '', focus: '' });
}

function TimelineTooltip() {
  const at = pointer.value;
  const answer = series.data.value;
  if (!at || !answer || dragged.value) return null;
  const type = profileType.value;
  const time = answer.start + at.step * answer.step_ms;
  const shown = groups.value.filter((group) => at.step < group.values.length);
  if (shown.length === 0) return null;
  const total = shown.reduce((all, group) => all + (group.values[at.step] ?? 0), 0);
  const onLeft = at.x > innerWidth - 260;
  const place = onLeft ? { right: `${innerWidth - at.x + 14}px` } : { left: `${at.x + 14}px` };
  return (
    <div class="tooltip" role="tooltip" style={{ top: `${at.y + 16}px`, ...place }}>
      <h3>
        {formatDate(time)} {formatClock(time, answer.step_ms < 60_000)}
      </h3>
      <table>
        <tbody>
          {shown.length > 1 &&
            shown.map((group) => (
              <tr key={group.name}>
                <th scope="row">
                  <i style={{ background: group.color }} /> {group.name}
                </th>
                <td>{rateText(type, group.values[at.step] ?? 0)}</td>
              </tr>
            ))}
          <tr>
            <th scope="row">{shown.length > 1 ? 'All' : 'CPU'}</th>
            <td>{rateText(type, total)}</td>
          </tr>
        </tbody>
      </table>
    </div>
  );
}
