// The page's state as signals, kept equal to the URL in both directions, and the clock that moves
// relative time ranges forward.

import { batch, computed, effect, signal, type ReadonlySignal } from '@preact/signals';
import { formatUrl, parseSelection, parseUrl, type UrlState } from './url.ts';
import { isRelative, resolveRange, slotEnd, type TimeRange } from './time.ts';

const THEME_KEY = 'hearth-theme';
/** How often a live page loads again; a flame graph is heavier than a list. */
const REFRESH_MS = { fleet: 5000, explore: 10_000, status: 5000 };

export const state = signal<UrlState>(parseUrl(location.pathname, location.search));

/** Changes part of the state. `replace` is for steps nobody wants to go back through. */
export function update(patch: Partial<UrlState>, history: 'push' | 'replace' = 'push'): void {
  const next = { ...state.peek(), ...patch };
  const url = formatUrl(next);
  if (url === formatUrl(state.peek())) return;
  if (history === 'push') window.history.pushState(null, '', url);
  else window.history.replaceState(null, '', url);
  state.value = next;
}

/** One field, so that a component redraws only when that field changes. */
export function field<Key extends keyof UrlState>(key: Key): ReadonlySignal<UrlState[Key]> {
  return computed(() => state.value[key]);
}

export const page = field('page');
export const search = field('search');

/** What "now" means for relative ranges; moves only when something should be loaded again. */
const clock = signal(slotEnd(Date.now()));

/** Counts refreshes; whoever loads something reads it, so that it loads again. */
export const refreshes = signal(0);

export function refresh(): void {
  batch(() => {
    clock.value = slotEnd(Date.now());
    refreshes.value++;
  });
}

/** The whole range the page is about. A range without relative ends ignores the clock. */
export const range = stable(computed<TimeRange>(() => {
  const { from, to } = state.value;
  return resolveRange(from, to, isRelative(from, to) ? clock.value : 0);
}));

/** The part of the range that table and flame graph show. */
export const selection = stable(computed<TimeRange>(() => parseSelection(state.value.sel) ?? range.value));

export const isLive = computed(() => state.value.live === 'on' && isRelative(state.value.from, state.value.to));

/** Passes on a range only if its ends changed. */
function stable(source: ReadonlySignal<TimeRange>): ReadonlySignal<TimeRange> {
  let last: TimeRange | undefined;
  return computed(() => {
    const next = source.value;
    if (!last || last.from !== next.from || last.to !== next.to) last = next;
    return last;
  });
}

const prefersLight = matchMedia('(prefers-color-scheme: light)');
const systemTheme = signal<'dark' | 'light'>(prefersLight.matches ? 'light' : 'dark');
const rememberedTheme = signal<string | null>(remembered());

/** Theme if the URL names none. */
const defaultTheme = computed<'dark' | 'light'>(() => {
  const kept = rememberedTheme.value;
  return kept === 'dark' || kept === 'light' ? kept : systemTheme.value;
});

export const theme = computed<'dark' | 'light'>(() => state.value.theme || defaultTheme.value);

export function toggleTheme(): void {
  const next = theme.peek() === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem(THEME_KEY, next);
  } catch {
    // Storage can be forbidden; then the URL alone carries the choice.
  }
  update({ theme: next === systemTheme.peek() ? '' : next }, 'replace');
  rememberedTheme.value = next;
}

function remembered(): string | null {
  try {
    return localStorage.getItem(THEME_KEY);
  } catch {
    return null;
  }
}

/** Wires the state to the browser; called once. */
export function startState(): void {
  window.history.replaceState(null, '', formatUrl(state.peek()));
  window.addEventListener('popstate', () => {
    state.value = parseUrl(location.pathname, location.search);
  });
  prefersLight.addEventListener('change', () => {
    systemTheme.value = prefersLight.matches ? 'light' : 'dark';
  });
  effect(() => {
    document.documentElement.dataset['theme'] = theme.value;
  });
  effect(() => {
    const timer = setInterval(() => {
      if (isLive.peek() && document.visibilityState === 'visible') refresh();
    }, REFRESH_MS[page.value]);
    return () => clearInterval(timer);
  });
  document.addEventListener('visibilitychange', () => {
    if (isLive.peek() && document.visibilityState === 'visible') refresh();
  });
}
