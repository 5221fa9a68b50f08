// Time ranges as the URL writes them: `now`, `now-15m`, or milliseconds since the epoch.

import { formatClock, formatDate } from './format.ts';

/** Samples are stored in slots of this length; steps are multiples of it. */
export const SLOT_MS = 5000;

export interface TimeRange {
  from: number;
  to: number;
}

export interface Preset {
  from: string;
  label: string;
}

export const PRESETS: readonly Preset[] = [
  { from: 'now-5m', label: 'Last 5 minutes' },
  { from: 'now-15m', label: 'Last 15 minutes' },
  { from: 'now-1h', label: 'Last hour' },
  { from: 'now-4h', label: 'Last 4 hours' },
  { from: 'now-12h', label: 'Last 12 hours' },
  { from: 'now-24h', label: 'Last 24 hours' },
  { from: 'now-7d', label: 'Last 7 days' },
  { from: 'now-30d', label: 'Last 30 days' },
];

const UNIT_MS: Record<string, number> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

/** Milliseconds since the epoch, or null if the text means no time. Bare seconds are accepted. */
export function parseTime(text: string, now: number): number | null {
  const relative = /^now(?:-(\d{1,6})([smhdw]))?$/.exec(text);
  if (relative) {
    const [, amount, unit] = relative;
    return amount === undefined ? now : now - Number(amount) * (UNIT_MS[unit ?? ''] ?? 0);
  }
  if (!/^\d{1,16}$/.test(text)) return null;
  const value = Number(text);
  return value < 1e11 ? value * 1000 : value;
}

export function isRelative(from: string, to: string): boolean {
  return from.startsWith('now') || to.startsWith('now');
}

/** The range from `from` to `to`; anything unusable falls back to the last 15 minutes. */
export function resolveRange(from: string, to: string, now: number): TimeRange {
  const end = parseTime(to, now) ?? now;
  const start = parseTime(from, now) ?? end - 15 * 6e4;
  return start < end ? { from: start, to: end } : { from: end - 15 * 6e4, to: end };
}

/** What the time picker's button says. */
export function describeRange(from: string, to: string): string {
  const preset = PRESETS.find((candidate) => candidate.from === from && to === 'now');
  if (preset) return preset.label;
  if (from.startsWith('now-') && to === 'now') return `Last ${from.slice(4)}`;
  if (isRelative(from, to)) return `${from} – ${to}`;
  return describeSpan(resolveRange(from, to, 0));
}

/** The same for narrow windows: `15m`, or times without dates. */
export function shortRange(from: string, to: string): string {
  if (from.startsWith('now-') && to === 'now') return from.slice(4);
  const { from: start, to: end } = resolveRange(from, to, Date.now());
  return `${formatClock(start)} – ${formatClock(end)}`;
}

/** An absolute range; the date is left out where both ends are today's. */
export function describeSpan({ from, to }: TimeRange): string {
  const seconds = to - from < 10 * 6e4;
  const [startDate, endDate] = [formatDate(from), formatDate(to)];
  const start = formatClock(from, seconds);
  const end = formatClock(to, seconds);
  return startDate === endDate
    ? `${startDate} ${start} – ${end}`
    : `${startDate} ${start} – ${endDate} ${end}`;
}

const STEPS_MS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400].map(
  (seconds) => seconds * 1000,
);

/** The shortest round step that covers the range with at most `points` points. */
export function stepFor({ from, to }: TimeRange, points: number): number {
  const wanted = (to - from) / points;
  return STEPS_MS.find((step) => step >= wanted) ?? Math.ceil(wanted / 864e5) * 864e5;
}

/** `now` rounded up to the end of its slot, so that the newest samples are inside the range. */
export function slotEnd(now: number): number {
  return Math.ceil(now / SLOT_MS) * SLOT_MS;
}
