// The flame chart: one canvas with a viewport that follows mouse, touch, wheel and keyboard. It
// tells its owner what happened and is told what to show; it knows nothing of pages or URLs.

import { LabelFitter } from './labels.ts';
import type { FlameModel } from './model.ts';
import { makePalette, shadeOf, type Palette } from './palette.ts';
import { FONT, paint, type Drawn } from './painter.ts';
import type { Hits } from './search.ts';
import { ROW_PX, Viewport, type Layout } from './viewport.ts';
import { hottestChild, leftSibling, rightSibling } from './walk.ts';

const TWEEN_MS = 170;
const DRAG_MIN_PX = 4;
const PAINT_TIMES_MAX = 600;

export interface FlameEvents {
  /** The node under the pointer, or -1, with the pointer's place in the window. */
  hover(node: number, x: number, y: number): void;
  /** The node the reader chose; -1 for none. */
  select(node: number): void;
  /** The node of `model` the reader wants to fill the width; 0 for everything. */
  focus(node: number, model: FlameModel): void;
  /** Callers and callees of the node's function. */
  sandwich(node: number): void;
}

interface Tween {
  began: number;
  from: { left: number; right: number; top: number };
  to: { left: number; right: number; top: number };
}

interface Drag {
  pointer: number;
  x: number;
  y: number;
  left: number;
  right: number;
  top: number;
  moved: boolean;
}

export class FlameChart {
  readonly canvas = document.createElement('canvas');
  readonly viewport: Viewport;
  drawn: Drawn = { rects: 0, labels: 0 };
  /** Milliseconds of the last paints, for measurements. */
  readonly paintTimes: number[] = [];
  model: FlameModel | undefined;
  selected = -1;
  focus = 0;

  private readonly context: CanvasRenderingContext2D;
  private readonly fitter = new LabelFitter();
  private readonly observer: ResizeObserver;
  private palette: Palette = makePalette('dark');
  private shades = new Uint8Array();
  private hits: Hits | undefined;
  private hovered = -1;
  private tween: Tween | undefined;
  private drag: Drag | undefined;
  private frame = 0;
  private pointer: { x: number; y: number; clientX: number; clientY: number } | undefined;

  constructor(
    private readonly host: HTMLElement,
    private readonly events: FlameEvents,
    layout: Layout,
  ) {
    this.viewport = new Viewport(layout);
    const context = this.canvas.getContext('2d', { alpha: false });
    if (!context) throw new Error('this browser has no 2D canvas');
    this.context = context;
    this.canvas.className = 'flame-canvas';
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute('role', 'img');
    host.append(this.canvas);
    this.fitter.measure(context, FONT);
    this.listen();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(host);
    void document.fonts.ready.then(() => {
      this.fitter.measure(context, FONT);
      this.draw();
    });
  }

  dispose(): void {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    this.canvas.remove();
  }

  /**
   * Shows a model with `focus` filling the width, without animation. `keepView` is for newer data of
   * the same question: what the reader panned and zoomed to stays, relative to the focus.
   */
  setModel(model: FlameModel, focus: number, keepView: boolean): void {
    const view = keepView ? this.relativeView() : null;
    this.model = model;
    this.shades = Uint8Array.from(model.names, (name, id) => shadeOf(name, model.layers[id] ?? 0));
    this.fitter.reset();
    this.hovered = -1;
    this.selected = -1;
    this.tween = undefined;
    const { top } = this.viewport;
    this.viewport.showAll(model);
    this.focus = Math.max(0, focus);
    const target = this.focusTarget(model, this.focus);
    const span = target.right - target.left;
    const { left, right } = view ?? { left: 0, right: 1 };
    this.viewport.setRange(model, target.left + left * span, target.left + right * span);
    this.viewport.setTop(model, view ? top : target.top);
    this.hoverAgain(model);
    this.draw();
  }

  /** The visible range in units of the focused frame, or null while there is nothing to keep. */
  private relativeView(): { left: number; right: number } | null {
    const { model, viewport, focus } = this;
    const width = model?.total[focus] ?? 0;
    if (!model || !(width > 0) || this.tween) return null;
    const start = model.start[focus]!;
    return { left: (viewport.left - start) / width, right: (viewport.right - start) / width };
  }

  /** The pointer rests where it was, over another model. */
  private hoverAgain(model: FlameModel): void {
    if (!this.pointer) return;
    const { x, y, clientX, clientY } = this.pointer;
    this.hovered = this.viewport.nodeAt(model, x, y);
    this.events.hover(this.hovered, clientX, clientY);
  }

  setTheme(theme: 'dark' | 'light'): void {
    this.palette = makePalette(theme);
    this.draw();
  }

  setHits(hits: Hits | undefined): void {
    if (hits === this.hits) return;
    this.hits = hits;
    this.draw();
  }

  /** What assistive software says; `describedBy` is the id of a live text about the selected frame. */
  setLabel(label: string, describedBy: string): void {
    this.canvas.setAttribute('aria-label', label);
    this.canvas.setAttribute('aria-describedby', describedBy);
  }

  setSelected(node: number): void {
    if (node === this.selected) return;
    this.selected = node;
    this.draw();
  }

  /** Moves until `node` fills the width. */
  focusOn(node: number): void {
    const { model, viewport } = this;
    if (!model || (node === this.focus && !this.isPanned(model))) return;
    this.focus = node;
    const { left, right, top } = viewport;
    this.tween = { began: performance.now(), from: { left, right, top }, to: this.focusTarget(model, node) };
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) this.tween.began -= TWEEN_MS;
    this.draw();
  }

  /** Brings a node into view unless it is; what fills the width stays where possible. */
  bringIntoView(node: number): void {
    const { model } = this;
    if (!model || node < 0 || this.viewport.width < 2 || this.centreOf(node) !== null) return;
    this.reveal(model, node);
    this.draw();
  }

  /** The centre of the node in canvas pixels, or null if it is out of sight. */
  centreOf(node: number): { x: number; y: number } | null {
    const { model, viewport } = this;
    if (!model) return null;
    const scale = viewport.width / viewport.span;
    const left = Math.max(0, (model.start[node]! - viewport.left) * scale);
    const right = Math.min(viewport.width, (model.start[node]! + model.total[node]! - viewport.left) * scale);
    const y = viewport.levelY(model.level[node]!) + ROW_PX / 2;
    return right - left >= 1 && y > 0 && y < viewport.height ? { x: (left + right) / 2, y } : null;
  }

  draw(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paintNow();
    });
  }

  private paintNow(): void {
    const { model, viewport, context } = this;
    if (!model || viewport.width < 2) return;
    const began = performance.now();
    this.stepTween(model, began);
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { palette, shades, hits, focus, hovered, selected } = this;
    const scene = { model, viewport, palette, shades, hits, focus, hovered, selected, narrowPx: 1 / ratio };
    this.drawn = paint(context, scene, this.fitter);
    this.paintTimes.push(performance.now() - began);
    if (this.paintTimes.length > PAINT_TIMES_MAX) this.paintTimes.shift();
  }

  private stepTween(model: FlameModel, now: number): void {
    const { tween, viewport } = this;
    if (!tween) return;
    const progress = Math.min(1, (now - tween.began) / TWEEN_MS);
    const eased = 1 - (1 - progress) ** 3;
    const between = (from: number, to: number): number => from + (to - from) * eased;
    viewport.setRange(model, between(tween.from.left, tween.to.left), between(tween.from.right, tween.to.right));
    viewport.setTop(model, between(tween.from.top, tween.to.top));
    if (progress < 1) this.draw();
    else this.tween = undefined;
  }

  private focusTarget(model: FlameModel, node: number): { left: number; right: number; top: number } {
    const left = model.start[node]!;
    const right = left + model.total[node]!;
    const offset = (model.level[node]! - this.viewport.layout.firstLevel) * ROW_PX;
    const { top, height } = this.viewport;
    const inUpperHalf = offset >= top && offset < top + height / 2;
    const wanted = node === 0 ? 0 : inUpperHalf ? top : Math.max(0, offset - 3 * ROW_PX);
    return { left, right, top: Math.min(this.viewport.topMax(model), wanted) };
  }

  private isPanned(model: FlameModel): boolean {
    const target = this.focusTarget(model, this.focus);
    return this.viewport.left !== target.left || this.viewport.right !== target.right;
  }

  private resize(): void {
    const { width, height } = this.host.getBoundingClientRect();
    const ratio = devicePixelRatio || 1;
    this.viewport.width = Math.max(1, width);
    this.viewport.height = Math.max(1, height);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    if (this.model) this.viewport.setTop(this.model, this.viewport.top);
    // At once: a resized canvas is blank until painted.
    this.paintNow();
  }

  private listen(): void {
    const { canvas } = this;
    canvas.addEventListener('pointerdown', (event) => this.onPointerDown(event));
    canvas.addEventListener('pointermove', (event) => this.onPointerMove(event));
    canvas.addEventListener('pointerup', () => this.endDrag());
    canvas.addEventListener('pointercancel', () => (this.drag = undefined));
    canvas.addEventListener('pointerleave', () => {
      this.pointer = undefined;
      this.hoverOver(-1, 0, 0);
    });
    canvas.addEventListener('click', (event) => this.onClick(event));
    canvas.addEventListener('dblclick', () => this.model && this.events.focus(0, this.model));
    canvas.addEventListener('contextmenu', (event) => this.onContextMenu(event));
    canvas.addEventListener('wheel', (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener('keydown', (event) => this.onKey(event));
  }

  private nodeAt(event: MouseEvent): number {
    return this.model ? this.viewport.nodeAt(this.model, event.offsetX, event.offsetY) : -1;
  }

  private hoverOver(node: number, x: number, y: number): void {
    if (node !== this.hovered) {
      this.hovered = node;
      this.draw();
    }
    this.events.hover(node, x, y);
  }

  private onPointerDown(event: PointerEvent): void {
    if (event.button !== 0) return;
    const { left, right, top } = this.viewport;
    this.drag = { pointer: event.pointerId, x: event.clientX, y: event.clientY, left, right, top, moved: false };
  }

  private onPointerMove(event: PointerEvent): void {
    if (this.drag) {
      this.pan(event, this.drag);
    } else if (event.pointerType !== 'touch') {
      this.pointer = { x: event.offsetX, y: event.offsetY, clientX: event.clientX, clientY: event.clientY };
      this.hoverOver(this.nodeAt(event), event.clientX, event.clientY);
    }
  }

  private pan(event: PointerEvent, drag: Drag): void {
    const { model, viewport } = this;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!model || (!drag.moved && Math.abs(dx) + Math.abs(dy) < DRAG_MIN_PX)) return;
    if (!drag.moved) {
      drag.moved = true;
      this.tween = undefined;
      this.canvas.setPointerCapture(drag.pointer);
      this.hoverOver(-1, 0, 0);
    }
    const shift = (dx * (drag.right - drag.left)) / viewport.width;
    viewport.setRange(model, drag.left - shift, drag.right - shift);
    viewport.setTop(model, drag.top + (viewport.layout.flipped ? dy : -dy));
    this.draw();
  }

  /** The drag ends after the click event that follows it, which must know it was one. */
  private endDrag(): void {
    setTimeout(() => (this.drag = undefined));
  }

  private onClick(event: MouseEvent): void {
    if (this.drag?.moved) return;
    const node = this.nodeAt(event);
    if (node < 0 || !this.model) return;
    this.selected = node;
    this.events.select(node);
    this.events.focus(node, this.model);
  }

  private onContextMenu(event: MouseEvent): void {
    const node = this.nodeAt(event);
    if (node <= 0) return;
    event.preventDefault();
    this.events.sandwich(node);
  }

  /** Ctrl zooms at the pointer, Shift or a sideways wheel pans, a plain wheel scrolls the stack. */
  private onWheel(event: WheelEvent): void {
    const { model, viewport } = this;
    if (!model) return;
    const { deltaX, deltaY } = event;
    const before = viewport.top;
    this.tween = undefined;
    if (event.ctrlKey || event.metaKey || event.altKey) {
      viewport.zoomAt(model, event.offsetX, Math.exp(deltaY * 0.0022));
    } else if (event.shiftKey || Math.abs(deltaX) > Math.abs(deltaY)) {
      const shift = ((deltaX || deltaY) / viewport.width) * viewport.span;
      viewport.setRange(model, viewport.left + shift, viewport.right + shift);
    } else {
      viewport.setTop(model, before + (viewport.layout.flipped ? -deltaY : deltaY));
      // At its end the page may scroll on, which matters on small windows.
      if (viewport.top === before) return;
    }
    event.preventDefault();
    this.hoverOver(this.nodeAt(event), event.clientX, event.clientY);
    this.draw();
  }

  private onKey(event: KeyboardEvent): void {
    const { model } = this;
    if (!model || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.selected >= 0 ? this.selected : this.focus;
    const flipped = this.viewport.layout.flipped;
    const actions: Record<string, () => void> = {
      [flipped ? 'ArrowDown' : 'ArrowUp']: () => this.choose(model, Math.max(0, model.parent[at]!)),
      [flipped ? 'ArrowUp' : 'ArrowDown']: () => this.choose(model, hottestChild(model, at)),
      ArrowRight: () => this.choose(model, rightSibling(model, at)),
      ArrowLeft: () => this.choose(model, leftSibling(model, at)),
      Enter: () => this.events.focus(at, model),
      Escape: () => this.events.focus(0, model),
      Home: () => this.choose(model, 0),
      s: () => this.events.sandwich(at),
      '+': () => this.zoomCentre(model, 0.75),
      '=': () => this.zoomCentre(model, 0.75),
      '-': () => this.zoomCentre(model, 1 / 0.75),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  private zoomCentre(model: FlameModel, factor: number): void {
    this.viewport.zoomAt(model, this.viewport.width / 2, factor);
    this.draw();
  }

  private choose(model: FlameModel, node: number): void {
    this.selected = node;
    this.events.select(node);
    this.reveal(model, node);
    this.draw();
  }

  /** Scrolls and, if the frame would be too narrow to see, zooms until it is visible. */
  private reveal(model: FlameModel, node: number): void {
    const { viewport } = this;
    this.tween = undefined;
    const y = (model.level[node]! - viewport.layout.firstLevel) * ROW_PX;
    if (y < viewport.top) viewport.setTop(model, y);
    else if (y > viewport.top + viewport.height - 2 * ROW_PX) viewport.setTop(model, y - viewport.height + 3 * ROW_PX);
    const left = model.start[node]!;
    const width = model.total[node]!;
    const hidden = left + width < viewport.left || left > viewport.right;
    const narrow = width < viewport.span * 0.002;
    if (!hidden && !narrow) return;
    const span = narrow ? width * 12 : viewport.span;
    viewport.setRange(model, left + width / 2 - span / 2, left + width / 2 + span / 2);
  }
}
