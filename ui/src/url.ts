// The URL is the state: everything a page shows can be sent to someone as its address. Parameters
// with their default value are left out.

import { formatSelector, parseSelector } from './selector.ts';

export const PAGES = ['fleet', 'explore', 'status'] as const;
export type Page = (typeof PAGES)[number];

export interface UrlState {
  page: Page;
  /** Selector; empty selects everything. */
  q: string;
  /** Profile type; empty means the server's first. */
  type: string;
  from: string;
  to: string;
  /** Part of the range marked on the timeline, `<ms>-<ms>`; empty means all of it. */
  sel: string;
  /** Pattern that functions (Explore) or services (Fleet) must match. */
  search: string;
  sort: 'self' | 'total' | 'name';
  /** Path hash of the frame zoomed to; empty means the root. */
  focus: string;
  /** Function marked in table and flame graph, and shown by the sandwich view. */
  fn: string;
  view: 'flame' | 'sandwich';
  /** Label that splits the timeline. */
  by: string;
  /** Empty follows the remembered choice, else the system. */
  theme: '' | 'dark' | 'light';
  /** Refreshes by itself unless `off`. */
  live: 'on' | 'off';
}

export const DEFAULTS: UrlState = {
  page: 'fleet',
  q: '',
  type: '',
  from: 'now-15m',
  to: 'now',
  sel: '',
  search: '',
  sort: 'self',
  focus: '',
  fn: '',
  view: 'flame',
  by: '',
  theme: '',
  live: 'on',
};

const CHOICES: { readonly [Key in keyof UrlState]?: readonly string[] } = {
  sort: ['self', 'total', 'name'],
  view: ['flame', 'sandwich'],
  theme: ['', 'dark', 'light'],
  live: ['on', 'off'],
};

const PARAMETERS = Object.keys(DEFAULTS).filter((key) => key !== 'page') as Exclude<keyof UrlState, 'page'>[];

/** The state an address stands for. Unknown parameters and values are ignored. */
export function parseUrl(path: string, query: string): UrlState {
  const parameters = new URLSearchParams(query);
  const state: Record<string, string> = { ...DEFAULTS, page: pageOf(path) };
  for (const key of PARAMETERS) {
    const value = parameters.get(key);
    if (value !== null && (CHOICES[key]?.includes(value) ?? true)) state[key] = value;
  }
  return adoptClassicLink(state as unknown as UrlState, parameters);
}

/** The address of a state, relative to the directory all pages are in. */
export function formatUrl(state: UrlState): string {
  const parameters = new URLSearchParams();
  for (const key of PARAMETERS) if (state[key] !== DEFAULTS[key]) parameters.set(key, state[key]);
  const query = parameters.toString();
  return `./${state.page === 'fleet' ? '' : state.page}${query ? `?${query}` : ''}`;
}

export function pageOf(path: string): Page {
  const last = path.split('/').pop() ?? '';
  return PAGES.find((page) => page === last) ?? 'fleet';
}

/** `/?query=<type>{<matchers>}&from=…&until=…`, as Pyroscope wrote its links. */
function adoptClassicLink(state: UrlState, parameters: URLSearchParams): UrlState {
  const query = parameters.get('query');
  if (query === null) return state;
  const brace = query.indexOf('{');
  const type = brace < 0 ? query : query.slice(0, brace);
  const matchers = parseSelector(brace < 0 ? '' : query.slice(brace));
  return {
    ...state,
    page: 'explore',
    type,
    q: matchers ? formatSelector(matchers) : query.slice(brace),
    to: parameters.get('until') ?? state.to,
  };
}

/** The marked part of the range, or null. */
export function parseSelection(text: string): { from: number; to: number } | null {
  const match = /^(\d{10,15})-(\d{10,15})$/.exec(text);
  if (!match) return null;
  const [from, to] = [Number(match[1]), Number(match[2])];
  return from < to ? { from, to } : null;
}
