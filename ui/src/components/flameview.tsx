// Flame charts in the page: creates them, hands them data, and reports what the reader does.

import { signal, type Signal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { FlameChart } from '../flame/chart.ts';
import { nodeName, type FlameModel } from '../flame/model.ts';
import type { Hits } from '../flame/search.ts';
import type { Layout } from '../flame/viewport.ts';
import { formatShare, formatValue } from '../format.ts';
import { layerName } from '../layers.ts';
import { unit } from '../data.ts';
import { theme, update } from '../state.ts';

interface Hovered {
  model: FlameModel;
  node: number;
  x: number;
  y: number;
}

/** The frame under the pointer, in any chart. */
export const hovered = signal<Hovered | null>(null);

/** The element that describes the selected frame in words. */
export const DETAIL_ID = 'frame-detail';

/** Charts by what they show, for the test hook. */
export const charts = new Map<string, FlameChart>();

interface FlameViewProps {
  id: string;
  model: FlameModel;
  /** The node that fills the width. */
  focus: number;
  layout: Layout;
  label: string;
  hits?: Hits | undefined;
  selected?: Signal<number>;
  /** True if a new model is newer data of the same question. */
  keepView?: boolean;
  /** A node to bring into view when it changes; -1 for none. */
  reveal?: number;
  onFocus(node: number, model: FlameModel): void;
}

export function FlameView({ id, model, focus, layout, label, hits, selected, keepView = false, reveal = -1, onFocus }: FlameViewProps) {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<FlameChart | null>(null);
  const callbacks = useRef({ model, onFocus, selected });
  callbacks.current = { model, onFocus, selected };

  useLayoutEffect(() => {
    if (!host.current) return undefined;
    const created = new FlameChart(
      host.current,
      {
        hover: (node, x, y) => {
          hovered.value = node < 0 ? null : { model: callbacks.current.model, node, x, y };
        },
        select: (node) => {
          if (callbacks.current.selected) callbacks.current.selected.value = node;
        },
        focus: (node, shown) => callbacks.current.onFocus(node, shown),
        sandwich: (node) => {
          if (node > 0 || layout.firstLevel > 0) update({ fn: nodeName(callbacks.current.model, node), view: 'sandwich' });
        },
      },
      layout,
    );
    chart.current = created;
    charts.set(id, created);
    return () => {
      hovered.value = null;
      charts.delete(id);
      created.dispose();
    };
  }, []);

  useLayoutEffect(() => chart.current?.setTheme(theme.value), [theme.value]);
  useLayoutEffect(() => chart.current?.setLabel(label, DETAIL_ID), [label]);
  useLayoutEffect(() => chart.current?.setModel(model, focus, keepView), [model]);
  useLayoutEffect(() => chart.current?.focusOn(focus), [focus]);
  useLayoutEffect(() => chart.current?.bringIntoView(reveal), [reveal]);
  useLayoutEffect(() => chart.current?.setHits(hits), [hits, model]);
  useLayoutEffect(() => chart.current?.setSelected(selected?.value ?? -1), [selected?.value, model]);

  return <div class="flame" ref={host} data-chart={id} />;
}

const TOOLTIP_WIDTH = 420;
const TOOLTIP_HEIGHT = 150;

export function FlameTooltip() {
  const at = hovered.value;
  if (!at) return null;
  const { model, node } = at;
  const caller = model.parent[node]!;
  const left = Math.max(8, Math.min(at.x + 14, innerWidth - TOOLTIP_WIDTH));
  const below = at.y + 18 + TOOLTIP_HEIGHT < innerHeight;
  const place = below ? { top: `${at.y + 18}px` } : { bottom: `${innerHeight - at.y + 12}px` };
  const total = model.total[node]!;
  const self = model.self[node]!;
  return (
    <div class="tooltip" role="tooltip" style={{ left: `${left}px`, ...place }}>
      <h3>{nodeName(model, node)}</h3>
      <table>
        <tbody>
          <TooltipRow name="Total" value={`${formatValue(unit.value, total)} · ${formatShare(total, model.grandTotal)}`} />
          <TooltipRow name="Self" value={`${formatValue(unit.value, self)} · ${formatShare(self, model.grandTotal)}`} />
          {caller >= 0 && <TooltipRow name="Of caller" value={formatShare(total, model.total[caller]!)} />}
          {node > 0 && <TooltipRow name="Code" value={layerName(model.layers[model.name[node]!] ?? 0)} />}
        </tbody>
      </table>
    </div>
  );
}

function TooltipRow({ name, value }: { name: string; value: string }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>{value}</td>
    </tr>
  );
}
