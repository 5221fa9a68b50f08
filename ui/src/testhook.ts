// `window.__hearth`: what tests cannot see from outside, because the flame graph is a picture.

import { charts } from './components/flameview.tsx';
import type { FlameChart } from './flame/chart.ts';
import { nodeName } from './flame/model.ts';

export interface TestHook {
  /** Rectangles painted last. */
  drawnRects(): number;
  /** Name of the selected frame; empty if there is none. */
  selectedName(): string;
  /** Name of the frame that fills the width. */
  focusName(): string;
  /** The part of the profile on screen, as shares from 0 to 1. */
  visibleRange(): { left: number; right: number };
  /** Where to click on the widest visible frame of a function, in window pixels. */
  frameCentre(name: string): { x: number; y: number } | null;
  /** The widest function at this depth, to have something to look for. */
  widestAt(level: number): string;
  /** Number of frames in the profile. */
  nodeCount(): number;
  /** Milliseconds of the last paints. */
  paintTimes(): number[];
}

declare global {
  interface Window {
    __hearth?: TestHook;
  }
}

export function installTestHook(): void {
  const main = (): FlameChart | undefined => charts.get('main');
  window.__hearth = {
    drawnRects: () => main()?.drawn.rects ?? 0,
    selectedName: () => nameAt(main(), main()?.selected ?? -1),
    focusName: () => nameAt(main(), main()?.focus ?? -1),
    visibleRange: () => {
      const chart = main();
      const whole = chart?.model?.grandTotal ?? 1;
      return { left: (chart?.viewport.left ?? 0) / whole, right: (chart?.viewport.right ?? whole) / whole };
    },
    frameCentre: (name) => {
      const chart = main();
      const node = chart ? widest(chart, (at) => nameAt(chart, at) === name && chart.centreOf(at) !== null) : -1;
      const centre = chart && node >= 0 ? chart.centreOf(node) : null;
      if (!chart || !centre) return null;
      const box = chart.canvas.getBoundingClientRect();
      return { x: box.left + centre.x, y: box.top + centre.y };
    },
    widestAt: (level) => {
      const chart = main();
      return chart ? nameAt(chart, widest(chart, (at) => chart.model?.level[at] === level)) : '';
    },
    nodeCount: () => main()?.model?.nodeCount ?? 0,
    paintTimes: () => main()?.paintTimes.slice() ?? [],
  };
}

function nameAt(chart: FlameChart | undefined, node: number): string {
  return chart?.model && node >= 0 ? nodeName(chart.model, node) : '';
}

function widest(chart: FlameChart, wanted: (node: number) => boolean): number {
  const model = chart.model;
  let best = -1;
  for (let node = 0; model && node < model.nodeCount; node++) {
    if ((best < 0 || model.total[node]! > model.total[best]!) && wanted(node)) best = node;
  }
  return best;
}
