// The right half of Explore: flame graph or sandwich, its toolbar, breadcrumb and detail line.

import { computed, effect, signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { exportUrl, type ExportFormat } from '../api.ts';
import { flame, flameQuery, highlights, profileType, rows, unit } from '../data.ts';
import { nodeName, pathOf, type FlameModel } from '../flame/model.ts';
import { findPath, pathHash } from '../flame/paths.ts';
import { sandwich } from '../flame/sandwich.ts';
import { widestFrame } from '../flame/search.ts';
import { formatShare, formatValue, typeLabel } from '../format.ts';
import { layerColor, LAYER_MEANING, LAYERS } from '../layers.ts';
import { listName } from '../names.ts';
import { equalTo, parseSelector } from '../selector.ts';
import { state, update } from '../state.ts';
import { CopyButton } from './copy.tsx';
import { DETAIL_ID, FlameView } from './flameview.tsx';
import { Icon } from './icons.tsx';
import { Popover } from './popover.tsx';

const ROOT_ON_TOP = { flipped: false, firstLevel: 0 };
const CALLERS_UP = { flipped: true, firstLevel: 1 };
const CALLEES_DOWN = { flipped: false, firstLevel: 1 };
const CRUMBS_MAX = 6;

/** The frame the reader chose, as a node of the current model; -1 for none. */
const selected = signal(-1);

/** Focus in the URL is a path hash; here it is the node it means now, 0 if there is none. */
const focusHash = computed(() => state.value.focus);
const focusNode = computed(() => {
  const model = flame.data.value;
  return model && focusHash.value !== '' ? Math.max(0, findPath(model, focusHash.value)) : 0;
});

/** Marking a function brings its widest frame into view. */
const markedName = computed(() => state.value.fn);
const markedFrame = computed(() => {
  const model = flame.data.value;
  const id = model && markedName.value !== '' ? model.names.indexOf(markedName.value) : -1;
  return model && id >= 0 ? widestFrame(model, id) : -1;
});

/** A new focus is selected; newer data keeps the selected frame where it can. */
let selectedIn: FlameModel | null = null;
effect(() => {
  const model = flame.data.value;
  const focus = focusNode.value;
  const before = selected.peek();
  const kept = model && selectedIn && flame.isRefresh.peek() && selectedIn !== model && before > 0;
  selected.value = kept ? findPath(model, pathHash(selectedIn!, before)) : focus > 0 ? focus : -1;
  selectedIn = model;
});

/** Clicking a frame puts it into the URL; the root means everything. */
function focusOn(node: number, model: FlameModel): void {
  update({ focus: node > 0 ? pathHash(model, node) : '' });
}

export function FlamePanel({ model }: { model: FlameModel }) {
  const { fn, view } = state.value;
  const id = fn === '' ? -1 : model.names.indexOf(fn);
  const showSandwich = view === 'sandwich' && id >= 0;
  return (
    <section class={`card column flamepanel${flame.stale.value ? ' stale' : ''}`} aria-label="Flame graph">
      <Toolbar model={model} canSandwich={id >= 0} showSandwich={showSandwich} />
      {showSandwich ? <SandwichView model={model} id={id} /> : <FlameGraph model={model} />}
    </section>
  );
}

function FlameGraph({ model }: { model: FlameModel }) {
  const total = formatValue(unit.value, model.grandTotal);
  return (
    <>
      <Breadcrumb model={model} />
      <FlameView
        id="main"
        model={model}
        focus={focusNode.value}
        layout={ROOT_ON_TOP}
        label={`Flame graph of ${total} ${typeLabel(profileType.value)} in ${model.nodeCount} frames. The table of functions has the same figures. Arrow keys walk the frames.`}
        hits={highlights.value}
        selected={selected}
        keepView={flame.isRefresh.value}
        reveal={markedFrame.value}
        onFocus={focusOn}
      />
      <Detail model={model} />
    </>
  );
}

function Toolbar({ model, canSandwich, showSandwich }: { model: FlameModel; canSandwich: boolean; showSandwich: boolean }) {
  const service = equalTo(parseSelector(state.value.q), 'service_name');
  return (
    <div class="bar">
      <h2 class="ellipsis">
        {service ?? 'All services'} · {formatValue(unit.value, model.grandTotal)}{' '}
        <span class="hide-small">{typeLabel(profileType.value)}</span>
      </h2>
      <span class="legend hide-small">
        {LAYERS.map((layer, index) => (
          <span key={layer} title={LAYER_MEANING[layer]}>
            <i style={{ background: layerColor(index) }} />
            {layer}
          </span>
        ))}
      </span>
      <span class="spacer" />
      <span class="segments" role="group" aria-label="View">
        <button type="button" aria-pressed={!showSandwich} onClick={() => update({ view: 'flame' })}>
          Flame
        </button>
        <button
          type="button"
          aria-pressed={showSandwich}
          title={canSandwich ? 'Callers and callees of the marked function' : 'Callers and callees: mark a function first'}
          onClick={() => update({ view: 'sandwich', ...(canSandwich ? {} : { fn: functionToSandwich(model) }) })}
        >
          Sandwich
        </button>
      </span>
      <ExportMenu />
    </div>
  );
}

/** The selected frame's function, else the hottest one. */
function functionToSandwich(model: FlameModel): string {
  if (selected.peek() > 0) return nodeName(model, selected.peek());
  return rows.peek().reduce((best, row) => (row.self > best.self ? row : best), rows.peek()[0]!)?.name ?? '';
}

const EXPORTS: readonly { format: ExportFormat; label: string; note: string }[] = [
  { format: 'pprof', label: 'pprof', note: 'go tool pprof, Speedscope' },
  { format: 'folded', label: 'Folded stacks', note: 'flamegraph.pl, inferno' },
  { format: 'svg', label: 'SVG', note: 'a picture for documents' },
];

function ExportMenu() {
  return (
    <Popover
      align="right"
      label={
        <>
          Export <Icon name="down" />
        </>
      }
    >
      {(close) => (
        <ul class="menu">
          {EXPORTS.map(({ format, label, note }) => (
            <li key={format}>
              <a href={exportUrl(flameQuery.value, format)} download onClick={() => setTimeout(close)}>
                {label} <small>{note}</small>
              </a>
            </li>
          ))}
        </ul>
      )}
    </Popover>
  );
}

function Breadcrumb({ model }: { model: FlameModel }) {
  const lost = focusHash.value !== '' && focusNode.value === 0;
  if (lost) {
    return (
      <div class="breadcrumb" role="status">
        The frame this link zooms to has no samples in this range.
        <button type="button" class="crumb" onClick={() => focusOn(0, model)}>
          Show everything
        </button>
      </div>
    );
  }
  if (focusNode.value === 0) return null;
  const path = pathOf(model, focusNode.value).slice(1);
  const shown = path.slice(-CRUMBS_MAX);
  return (
    <nav class="breadcrumb" aria-label="Zoomed path">
      <button type="button" class="crumb" onClick={() => focusOn(0, model)}>
        total
      </button>
      {path.length > shown.length && <span class="quiet">› … {path.length - shown.length}</span>}
      {shown.map((node) => (
        <button
          key={node}
          type="button"
          class="crumb"
          aria-current={node === focusNode.value ? 'true' : undefined}
          title={nodeName(model, node)}
          onClick={() => focusOn(node, model)}
        >
          {listName(nodeName(model, node))}
        </button>
      ))}
      <span class="spacer" />
      <button type="button" class="crumb reset" onClick={() => focusOn(0, model)}>
        Reset zoom
      </button>
    </nav>
  );
}

function Detail({ model }: { model: FlameModel }) {
  const node = selected.value;
  return (
    <div class="detail">
      <div class="detail-text" id={DETAIL_ID} role="status" aria-live="polite">
        {node >= 0 && node < model.nodeCount ? <FrameText model={model} node={node} /> : <MarkedText model={model} />}
      </div>
      <DetailButtons model={model} />
    </div>
  );
}

function FrameText({ model, node }: { model: FlameModel; node: number }) {
  const name = nodeName(model, node);
  const total = model.total[node]!;
  return (
    <>
      <b class="mono ellipsis" title={name}>
        {name}
      </b>
      <span>
        total <b>{formatShare(total, model.grandTotal)}</b> {formatValue(unit.value, total)}
      </span>
      <span>
        self <b>{formatValue(unit.value, model.self[node]!)}</b>
      </span>
      <span class="hide-small">
        depth <b>{model.level[node]}</b>
      </span>
    </>
  );
}

/** The marked function's sums over all its frames, else how to use the chart. */
function MarkedText({ model }: { model: FlameModel }) {
  const row = rows.value.find(({ name }) => name === state.value.fn);
  if (!row) {
    return (
      <span class="quiet">
        Click a frame to focus · <kbd>ctrl</kbd>+wheel zoom · arrows walk the stack · right-click for callers and callees ·{' '}
        <kbd>/</kbd> search
      </span>
    );
  }
  return (
    <>
      <b class="mono ellipsis" title={row.name}>
        {row.name}
      </b>
      <span>
        total <b>{formatShare(row.total, model.grandTotal)}</b> {formatValue(unit.value, row.total)}
      </span>
      <span>
        self <b>{formatValue(unit.value, row.self)}</b>
      </span>
      <span class="hide-small">over all its frames</span>
    </>
  );
}

function DetailButtons({ model }: { model: FlameModel }) {
  const name = selected.value > 0 ? nodeName(model, selected.value) : state.value.fn;
  if (name === '') return null;
  return (
    <>
      <button type="button" class="button" onClick={() => update({ fn: name, view: 'sandwich' })}>
        Callers &amp; callees
      </button>
      <span class="hide-small">
        <CopyButton text={name} label="Copy name" />
      </span>
      {state.value.fn !== '' && (
        <button type="button" class="button hide-small" onClick={() => update({ fn: '' })}>
          Unmark
        </button>
      )}
    </>
  );
}

function SandwichView({ model, id }: { model: FlameModel; id: number }) {
  const { callers, callees } = useMemo(() => sandwich(model, id), [model, id]);
  const name = model.names[id]!;
  const callersFocus = useMemo(() => signal(0), [callers]);
  const calleesFocus = useMemo(() => signal(0), [callees]);
  return (
    <div class="sandwich">
      <FlameView
        id="callers"
        model={callers}
        focus={callersFocus.value}
        layout={CALLERS_UP}
        label={`Callers of ${name}`}
        onFocus={(node) => (callersFocus.value = node)}
      />
      <div class="sandwich-band">
        <b class="ellipsis" title={name}>
          {name}
        </b>
        <span>
          {formatValue(unit.value, callees.grandTotal)} · {formatShare(callees.grandTotal, model.grandTotal)}
        </span>
        <span class="spacer" />
        <span class="hide-small">callers above, callees below</span>
        <button type="button" aria-label="Close callers and callees" onClick={() => update({ view: 'flame' })}>
          <Icon name="close" />
        </button>
      </div>
      <FlameView
        id="callees"
        model={callees}
        focus={calleesFocus.value}
        layout={CALLEES_DOWN}
        label={`Callees of ${name}`}
        onFocus={(node) => (calleesFocus.value = node)}
      />
    </div>
  );
}
