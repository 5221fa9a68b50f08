// Numbers, units and times as text. Values arrive in the unit of their profile type.

/** The parts of a profile type `name:sample_type:sample_unit:period_type:period_unit`. */
export interface TypeParts {
  name: string;
  sample: string;
  unit: string;
}

export function typeParts(type: string): TypeParts {
  const [name = '', sample = '', unit = ''] = type.split(':');
  return { name, sample, unit };
}

const TYPE_LABELS: Record<string, string> = {
  'process_cpu:cpu': 'CPU time',
  'process_cpu:samples': 'CPU samples',
};

/** A profile type as people call it. */
export function typeLabel(type: string): string {
  const { name, sample } = typeParts(type);
  return TYPE_LABELS[`${name}:${sample}`] ?? `${name} · ${sample}`.replaceAll('_', ' ');
}

/** True if dividing by elapsed time gives "cores in use". */
export function isCpuTime(type: string): boolean {
  const { sample, unit } = typeParts(type);
  return sample === 'cpu' && unit === 'nanoseconds';
}

/** A value with its unit, about three significant digits. */
export function formatValue(unit: string, value: number): string {
  if (unit === 'nanoseconds') return formatNanoseconds(value);
  if (unit === 'bytes') return formatBytes(value);
  return formatCount(value);
}

export function formatNanoseconds(value: number): string {
  const size = Math.abs(value);
  if (size >= 3.6e12) return `${(value / 3.6e12).toFixed(2)} h`;
  if (size >= 6e10) return `${(value / 6e10).toFixed(2)} min`;
  if (size >= 1e9) return `${(value / 1e9).toFixed(2)} s`;
  if (size >= 1e6) return `${(value / 1e6).toFixed(0)} ms`;
  if (size >= 1e3) return `${(value / 1e3).toFixed(0)} µs`;
  return `${value.toFixed(0)} ns`;
}

export function formatBytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let scaled = value;
  let unit = 0;
  while (Math.abs(scaled) >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${unit === 0 ? scaled.toFixed(0) : threeDigits(scaled)} ${units[unit]}`;
}

export function formatCount(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e9) return `${threeDigits(value / 1e9)} G`;
  if (size >= 1e6) return `${threeDigits(value / 1e6)} M`;
  if (size >= 1e4) return `${threeDigits(value / 1e3)} k`;
  return Number.isInteger(value) ? value.toLocaleString('en') : threeDigits(value);
}

function threeDigits(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

export function formatCores(cores: number): string {
  if (cores > 0 && cores < 0.01) return '<0.01';
  return threeDigits(cores);
}

/** `part` of `whole` in percent; a dash if there is no whole. */
export function formatShare(part: number, whole: number): string {
  if (!(whole > 0)) return '–';
  const percent = (100 * part) / whole;
  return `${percent.toFixed(percent < 9.95 ? 2 : 1)}%`;
}

/** How long ago, or how long: `12 s`, `3 min`, `2.5 h`, `4 d`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${trim(seconds / 3600)} h`;
  return `${trim(seconds / 86_400)} d`;
}

function trim(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '');
}

const two = (value: number): string => String(value).padStart(2, '0');

/** Local time of day, with seconds only where they say something. */
export function formatClock(ms: number, withSeconds = false): string {
  const date = new Date(ms);
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return withSeconds ? `${clock}:${two(date.getSeconds())}` : clock;
}

export function formatDate(ms: number): string {
  const date = new Date(ms);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export function formatTimestamp(ms: number): string {
  return `${formatDate(ms)} ${formatClock(ms, true)}`;
}
