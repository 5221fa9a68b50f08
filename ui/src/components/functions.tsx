// The function table: real DOM, so that everything the canvas shows can be read and reached. Only
// the rows on screen exist.

import { computed } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { flame, pattern, rows, searchHits, searchTotal, unit } from '../data.ts';
import { sortRows, type FunctionRow, type FunctionSort } from '../flame/functions.ts';
import type { FlameModel } from '../flame/model.ts';
import { formatShare, formatValue } from '../format.ts';
import { layerColor, layerName } from '../layers.ts';
import { listName } from '../names.ts';
import { search, state, update } from '../state.ts';

const ROW_PX = 25;
const OVERSCAN = 6;

const sort = computed(() => state.value.sort);
const marked = computed(() => state.value.fn);
const sorted = computed(() => sortRows(rows.value, sort.value));
const shown = computed(() => {
  const hits = searchHits.value;
  return hits ? sorted.value.filter((row) => hits[row.id] === 1) : sorted.value;
});

export function FunctionPanel() {
  return (
    <section class="card column functions" aria-label="Functions">
      <SearchBar />
      <FunctionTable />
    </section>
  );
}

function SearchBar() {
  const model = flame.data.value;
  return (
    <div class="bar">
      <input
        id="search"
        class="input grow"
        type="search"
        placeholder="Search functions: name or regex"
        aria-label="Search functions"
        aria-invalid={pattern.value === 'invalid'}
        spellcheck={false}
        value={search.value}
        onInput={(event) => update({ search: event.currentTarget.value }, 'replace')}
        onKeyDown={(event) => {
          if (event.key !== 'Escape') return;
          update({ search: '' }, 'replace');
          event.currentTarget.blur();
        }}
      />
      {pattern.value === 'invalid' && <span class="bad nowrap">not a regex</span>}
      {searchHits.value && model && (
        <span class="nowrap quiet" role="status" id="matched">
          <b class="accent">{formatShare(searchTotal.value, model.grandTotal)}</b> matched
        </span>
      )}
      {searchHits.value === undefined && pattern.value === null && <kbd class="hide-small">/</kbd>}
    </div>
  );
}

function FunctionTable() {
  const body = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  useEffect(() => {
    const element = body.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(() => setHeight(element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const model = flame.data.value;
  const list = shown.value;
  const first = Math.max(0, Math.floor(top / ROW_PX) - OVERSCAN);
  const last = Math.min(list.length, Math.ceil((top + height) / ROW_PX) + OVERSCAN);
  const largest = list.reduce((max, row) => Math.max(max, barValue(row)), 0);
  return (
    <div
      class="table"
      role="grid"
      aria-label="Functions by CPU"
      aria-rowcount={list.length + 1}
      ref={body}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      onKeyDown={moveFocus}
    >
      <div class="table-head" role="row" aria-rowindex={1}>
        <HeadCell by="name" label={`Function · ${list.length.toLocaleString('en')}`} />
        <HeadCell by="self" label="Self" />
        <HeadCell by="total" label="Total" />
      </div>
      <div class="table-body" style={{ height: `${list.length * ROW_PX}px` }}>
        {model &&
          list
            .slice(first, last)
            .map((row, index) => (
              <Row key={row.id} row={row} index={first + index} model={model} largest={largest} />
            ))}
      </div>
    </div>
  );
}

function barValue(row: FunctionRow): number {
  return sort.value === 'total' ? row.total : row.self;
}

function HeadCell({ by, label }: { by: FunctionSort; label: string }) {
  const active = sort.value === by;
  return (
    <span role="columnheader" aria-sort={active ? (by === 'name' ? 'ascending' : 'descending') : 'none'}>
      <button type="button" onClick={() => update({ sort: by }, 'replace')}>
        {label}
        {active ? (by === 'name' ? ' ↑' : ' ↓') : ''}
      </button>
    </span>
  );
}

interface RowProps {
  row: FunctionRow;
  index: number;
  model: FlameModel;
  largest: number;
}

function Row({ row, index, model, largest }: RowProps) {
  const layer = model.layers[row.id] ?? 0;
  const selected = marked.value === row.name;
  const bar = <i style={{ width: `${largest > 0 ? (100 * barValue(row)) / largest : 0}%` }} />;
  const mark = (): void => update({ fn: selected ? '' : row.name, ...(selected ? { view: 'flame' } : {}) });
  return (
    <div
      class={selected ? 'table-row selected' : 'table-row'}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selected}
      tabIndex={0}
      style={{ top: `${index * ROW_PX}px` }}
      title={row.name}
      data-function={row.name}
      onClick={mark}
      onDblClick={() => update({ fn: row.name, view: 'sandwich' })}
      onKeyDown={(event) => {
        if (event.key === 'Enter' || event.key === ' ') mark();
        else if (event.key === 's') update({ fn: row.name, view: 'sandwich' });
        else return;
        event.preventDefault();
      }}
    >
      <span class="name" role="gridcell">
        <i class="swatch" style={{ background: layerColor(layer) }} title={layerName(layer)} />
        <span>{listName(row.name)}</span>
      </span>
      <span class="number" role="gridcell">
        {formatValue(unit.value, row.self)}
        {sort.value !== 'total' && bar}
      </span>
      <span class="number" role="gridcell">
        {formatShare(row.total, model.grandTotal)}
        {sort.value === 'total' && bar}
      </span>
    </div>
  );
}

/** Arrow keys walk the rows. */
function moveFocus(event: KeyboardEvent): void {
  const row = (event.target as Element).closest('.table-row');
  if (!row || (event.key !== 'ArrowDown' && event.key !== 'ArrowUp')) return;
  const next = event.key === 'ArrowDown' ? row.nextElementSibling : row.previousElementSibling;
  if (next instanceof HTMLElement) {
    event.preventDefault();
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: 'nearest' });
  }
}
