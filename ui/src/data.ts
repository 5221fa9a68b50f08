// What the pages load and when: each resource follows the part of the state it depends on.

import { computed, effect } from '@preact/signals';
import {
  fetchFlame,
  fetchOverview,
  fetchSeries,
  fetchStatus,
  fetchTypes,
  fetchUnnamed,
  type Overview,
  type Query,
  type SeriesAnswer,
  type Status,
  type Unnamed,
} from './api.ts';
import { functionRows } from './flame/functions.ts';
import type { FlameModel } from './flame/model.ts';
import { compilePattern, matchedTotal, matchNames, matchOne, type Hits } from './flame/search.ts';
import { typeParts } from './format.ts';
import { Resource } from './resource.ts';
import { page, range, refreshes, search, selection, state } from './state.ts';
import { stepFor } from './time.ts';

const DEFAULT_TYPE = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds';
const TIMELINE_POINTS = 120;
/** Profilers report every few seconds: shorter steps would show their rhythm, not the load. */
const TIMELINE_STEP_MIN_MS = 15_000;

export const types = new Resource<string[]>();
export const overview = new Resource<Overview>();
export const series = new Resource<SeriesAnswer>();
export const flame = new Resource<FlameModel>();
export const status = new Resource<Status>();
export const unnamed = new Resource<Unnamed>();

/** The profile type shown: the URL's, else CPU time, else whatever the server has. */
export const profileType = computed(() => {
  const asked = state.value.type;
  const known = types.data.value;
  if (asked !== '') return asked;
  return known && known.length > 0 && !known.includes(DEFAULT_TYPE) ? known[0]! : DEFAULT_TYPE;
});

export const unit = computed(() => typeParts(profileType.value).unit);

const selector = computed(() => state.value.q);
const groupBy = computed(() => state.value.by);

/** What table and flame graph show. */
export const flameQuery = computed<Query>(() => ({
  q: selector.value,
  type: profileType.value,
  range: selection.value,
}));

/** What the timeline and the label lists show. */
export const rangeQuery = computed<Query>(() => ({
  q: selector.value,
  type: profileType.value,
  range: range.value,
}));

export const rows = computed(() => (flame.data.value ? functionRows(flame.data.value) : []));

/** The search pattern; null if there is none, 'invalid' if it is no regular expression. */
export const pattern = computed<RegExp | null | 'invalid'>(() => {
  const text = search.value.trim();
  return text === '' ? null : (compilePattern(text) ?? 'invalid');
});

/** Which names the search matches. */
export const searchHits = computed<Hits | undefined>(() => {
  const model = flame.data.value;
  const expression = pattern.value;
  return model && expression instanceof RegExp ? matchNames(model, expression) : undefined;
});

export const searchTotal = computed(() => {
  const model = flame.data.value;
  const hits = searchHits.value;
  return model && hits ? matchedTotal(model, hits) : 0;
});

const markedFunction = computed(() => state.value.fn);

/** Which names stand out in the flame graph: the marked function, else what the search matches. */
export const highlights = computed<Hits | undefined>(() => {
  const model = flame.data.value;
  if (!model || markedFunction.value === '') return searchHits.value;
  const hits = matchOne(model, markedFunction.value);
  return hits.includes(1) ? hits : searchHits.value;
});

/** Starts following the state; called once. */
export function startData(): void {
  effect(() => {
    if (page.value === 'status') return;
    void refreshes.value;
    const asked = range.value;
    types.load('', (signal) => fetchTypes(asked, signal));
  });
  effect(() => {
    if (page.value !== 'fleet') return;
    void refreshes.value;
    const [type, asked] = [profileType.value, range.value];
    overview.load(`${type} ${rangeKey()}`, (signal) => fetchOverview(type, asked, signal));
  });
  effect(() => {
    if (page.value !== 'explore') return;
    void refreshes.value;
    const query = rangeQuery.value;
    const by = groupBy.value;
    const step = Math.max(TIMELINE_STEP_MIN_MS, stepFor(query.range, TIMELINE_POINTS));
    series.load(`${query.type} ${query.q} ${by} ${rangeKey()}`, (signal) => fetchSeries(query, step, by, signal));
  });
  effect(() => {
    if (page.value !== 'explore') return;
    void refreshes.value;
    const query = flameQuery.value;
    const key = `${query.type} ${query.q} ${state.peek().sel} ${rangeKey()}`;
    flame.load(key, (signal) => fetchFlame(query, signal));
  });
  effect(() => {
    if (page.value !== 'status') return;
    void refreshes.value;
    loadStatus();
    unnamed.load('', fetchUnnamed);
  });
}

export function loadStatus(): void {
  status.load('', fetchStatus);
}

/** The range as asked for: stays the same while a relative range moves with the clock. */
function rangeKey(): string {
  const { from, to } = state.peek();
  return `${from} ${to}`;
}
