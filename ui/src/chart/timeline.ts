// The timeline: stacked areas over time on a canvas, with a brush that marks a part of the range.

import { formatClock, formatDate } from '../format.ts';
import type { TimeRange } from '../time.ts';

export interface TimelineSeries {
  name: string;
  color: string;
  values: readonly number[];
}

export interface TimelineData {
  start: number;
  stepMs: number;
  series: readonly TimelineSeries[];
  range: TimeRange;
  selection: TimeRange | null;
  formatAxis(value: number): string;
}

export interface TimelineEvents {
  /** A part of the range was marked, or none any more. `done` is false while dragging. */
  brush(selection: TimeRange | null, done: boolean): void;
  /** The step under the pointer, or -1, with the pointer's place in the window. */
  hover(step: number, x: number, y: number): void;
}

const LEFT_PX = 46;
const RIGHT_PX = 10;
const TOP_PX = 9;
const BOTTOM_PX = 20;
const TICK_PX = 105;
const BRUSH_MIN_PX = 4;
const FONT = '10px Inter, "Segoe UI", Roboto, system-ui, sans-serif';

export class Timeline {
  readonly canvas = document.createElement('canvas');
  private readonly context: CanvasRenderingContext2D;
  private readonly observer: ResizeObserver;
  private data: TimelineData | undefined;
  private width = 0;
  private height = 0;
  private hoverX = -1;
  private dragFrom = -1;
  private dragged = false;

  constructor(
    private readonly host: HTMLElement,
    private readonly events: TimelineEvents,
  ) {
    const context = this.canvas.getContext('2d');
    if (!context) throw new Error('this browser has no 2D canvas');
    this.context = context;
    this.canvas.setAttribute('role', 'img');
    host.append(this.canvas);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(host);
    this.canvas.addEventListener('pointerdown', (event) => this.onDown(event));
    this.canvas.addEventListener('pointermove', (event) => this.onMove(event));
    this.canvas.addEventListener('pointerup', (event) => this.onUp(event));
    this.canvas.addEventListener('pointercancel', () => (this.dragFrom = -1));
    this.canvas.addEventListener('pointerleave', () => this.setHover(-1, 0, 0));
  }

  dispose(): void {
    this.observer.disconnect();
    this.canvas.remove();
  }

  show(data: TimelineData, label: string): void {
    this.data = data;
    this.canvas.setAttribute('aria-label', label);
    this.draw();
  }

  private resize(): void {
    const { width, height } = this.host.getBoundingClientRect();
    const ratio = devicePixelRatio || 1;
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.draw();
  }

  private onDown(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.dragFrom = event.offsetX;
    this.dragged = false;
    this.canvas.setPointerCapture(event.pointerId);
  }

  private onMove(event: PointerEvent): void {
    if (this.dragFrom >= 0 && (this.dragged || Math.abs(event.offsetX - this.dragFrom) >= BRUSH_MIN_PX)) {
      this.dragged = true;
      this.brush(event.offsetX, false);
    }
    this.setHover(event.offsetX, event.clientX, event.clientY);
  }

  private onUp(event: PointerEvent): void {
    if (this.dragFrom < 0) return;
    if (this.dragged) this.brush(event.offsetX, true);
    else this.events.brush(null, true);
    this.dragFrom = -1;
  }

  private brush(x: number, done: boolean): void {
    const { data } = this;
    if (!data) return;
    const snap = (px: number): number => Math.round((this.timeAt(px) - data.start) / data.stepMs) * data.stepMs + data.start;
    const from = Math.max(data.range.from, snap(Math.min(x, this.dragFrom)));
    const to = Math.min(data.range.to, Math.max(snap(Math.max(x, this.dragFrom)), from + data.stepMs));
    if (to > from) this.events.brush({ from, to }, done);
  }

  private setHover(x: number, clientX: number, clientY: number): void {
    this.hoverX = x;
    const { data } = this;
    const inside = data !== undefined && x >= LEFT_PX && x <= this.width - RIGHT_PX;
    const step = inside ? Math.floor((this.timeAt(x) - data.start) / data.stepMs) : -1;
    this.events.hover(step, clientX, clientY);
    this.draw();
  }

  private timeAt(x: number): number {
    const { from, to } = this.data?.range ?? { from: 0, to: 1 };
    const share = (x - LEFT_PX) / Math.max(1, this.width - LEFT_PX - RIGHT_PX);
    return from + Math.max(0, Math.min(1, share)) * (to - from);
  }

  private xOf(time: number): number {
    const { from, to } = this.data?.range ?? { from: 0, to: 1 };
    return LEFT_PX + ((time - from) / (to - from)) * (this.width - LEFT_PX - RIGHT_PX);
  }

  private draw(): void {
    const { data, context, width, height } = this;
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!data || width < 80) return;
    const style = getComputedStyle(this.host);
    const ink = { text: style.getPropertyValue('--muted'), grid: style.getPropertyValue('--line') };
    const stacked = stack(data.series);
    const top = niceMaximum(stacked.max);
    const bottom = height - BOTTOM_PX;
    const yOf = (value: number): number => bottom - ((bottom - TOP_PX) * value) / top;
    this.drawAxes(data, ink, top, yOf);
    context.save();
    context.beginPath();
    context.rect(LEFT_PX, 0, width - LEFT_PX - RIGHT_PX, bottom + 1);
    context.clip();
    this.drawAreas(data, stacked.sums, yOf);
    context.restore();
    this.drawSelection(data, style.getPropertyValue('--accent-2'), bottom);
    this.drawHover(ink.text, bottom);
  }

  private drawAxes(data: TimelineData, ink: { text: string; grid: string }, top: number, yOf: (v: number) => number): void {
    const { context, width, height } = this;
    context.font = FONT;
    context.fillStyle = ink.text;
    context.strokeStyle = ink.grid;
    context.lineWidth = 1;
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    for (const value of [0, top / 2, top]) {
      const y = Math.round(yOf(value)) + 0.5;
      context.beginPath();
      context.moveTo(LEFT_PX, y);
      context.lineTo(width - RIGHT_PX, y);
      context.stroke();
      context.fillText(data.formatAxis(value), LEFT_PX - 7, y);
    }
    context.textAlign = 'center';
    context.textBaseline = 'top';
    const ticks = timeTicks(data.range, Math.max(2, Math.floor((width - LEFT_PX) / TICK_PX)));
    for (const tick of ticks) {
      const x = this.xOf(tick.time);
      const half = context.measureText(tick.label).width / 2;
      if (x - half < LEFT_PX - 14 || x + half > width) continue;
      context.fillText(tick.label, x, height - BOTTOM_PX + 6);
    }
  }

  /** Points stand in the middle of their step; the first and last reach to the edges. */
  private drawAreas(data: TimelineData, sums: readonly Float64Array[], yOf: (v: number) => number): void {
    const { context } = this;
    const count = visibleSteps(data);
    if (count === 0) return;
    const xs = Float64Array.from({ length: count }, (_, step) => this.xOf(data.start + (step + 0.5) * data.stepMs));
    const [first, last] = [this.xOf(data.start), this.xOf(data.start + count * data.stepMs)];
    const trace = (values: Float64Array): void => {
      context.lineTo(first, yOf(values[0]!));
      for (let step = 0; step < count; step++) context.lineTo(xs[step]!, yOf(values[step]!));
      context.lineTo(last, yOf(values[count - 1]!));
    };
    const traceBack = (values: Float64Array): void => {
      context.lineTo(last, yOf(values[count - 1]!));
      for (let step = count - 1; step >= 0; step--) context.lineTo(xs[step]!, yOf(values[step]!));
      context.lineTo(first, yOf(values[0]!));
    };
    data.series.forEach(({ color }, index) => {
      context.beginPath();
      trace(sums[index + 1]!);
      context.strokeStyle = color;
      context.lineWidth = 1.4;
      context.stroke();
      traceBack(sums[index]!);
      context.closePath();
      context.globalAlpha = data.series.length > 1 ? 0.6 : 0.2;
      context.fillStyle = color;
      context.fill();
      context.globalAlpha = 1;
    });
  }

  private drawSelection(data: TimelineData, color: string, bottom: number): void {
    const { context } = this;
    if (!data.selection) return;
    const left = Math.max(LEFT_PX, this.xOf(data.selection.from));
    const right = Math.min(this.width - RIGHT_PX, this.xOf(data.selection.to));
    if (right <= left) return;
    context.fillStyle = color;
    context.globalAlpha = 0.16;
    context.fillRect(left, TOP_PX, right - left, bottom - TOP_PX);
    context.globalAlpha = 1;
    context.fillRect(left, TOP_PX, 1.5, bottom - TOP_PX);
    context.fillRect(right - 1.5, TOP_PX, 1.5, bottom - TOP_PX);
  }

  private drawHover(color: string, bottom: number): void {
    const { context, hoverX } = this;
    if (hoverX < LEFT_PX || hoverX > this.width - RIGHT_PX) return;
    context.strokeStyle = color;
    context.globalAlpha = 0.7;
    context.beginPath();
    context.moveTo(Math.round(hoverX) + 0.5, TOP_PX);
    context.lineTo(Math.round(hoverX) + 0.5, bottom);
    context.stroke();
    context.globalAlpha = 1;
  }
}

/** Without the newest steps that are not over yet: they would look like a drop. */
function visibleSteps({ start, stepMs, series, range }: TimelineData): number {
  const count = Math.max(0, ...series.map(({ values }) => values.length));
  return count > 2 && start + count * stepMs > range.to - stepMs / 2 ? Math.max(1, count - 1) : count;
}

/** Running sums of the series, below the first and above each. */
function stack(series: readonly TimelineSeries[]): { sums: Float64Array[]; max: number } {
  const count = Math.max(0, ...series.map(({ values }) => values.length));
  const sums = [new Float64Array(count)];
  let max = 0;
  for (const { values } of series) {
    const below = sums[sums.length - 1]!;
    sums.push(below.map((value, step) => value + (values[step] ?? 0)));
  }
  for (const value of sums[sums.length - 1]!) max = Math.max(max, value);
  return { sums, max };
}

/** The next of 1, 1.5, 2, 2.5, 3 … times a power of ten. */
export function niceMaximum(max: number): number {
  if (!(max > 0)) return 1;
  const magnitude = 10 ** Math.floor(Math.log10(max));
  // Rounded, or 3.5 tenths would be 0.35000000000000003.
  return Number(((Math.ceil((max / magnitude) * 2 - 1e-9) / 2) * magnitude).toPrecision(3));
}

const TICK_STEPS_MIN = [1 / 6, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080];

/** Round local times; midnights show their date. */
export function timeTicks({ from, to }: TimeRange, count: number): { time: number; label: string }[] {
  const wanted = (to - from) / 60_000 / count;
  const step = (TICK_STEPS_MIN.find((minutes) => minutes >= wanted) ?? 10_080) * 60_000;
  const zone = new Date(from).getTimezoneOffset() * 60_000;
  const ticks: { time: number; label: string }[] = [];
  for (let time = Math.ceil((from - zone) / step) * step + zone; time <= to; time += step) {
    const clock = formatClock(time, step < 60_000);
    ticks.push({ time, label: clock === '00:00' ? formatDate(time).slice(5) : clock });
  }
  return ticks;
}
