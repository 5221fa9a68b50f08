// The server's browser API, `/api/v1`. Times are milliseconds since the epoch, values are in the
// unit of the profile type.

import { decodeFlame, DecodeError } from './flame/decode.ts';
import type { FlameModel } from './flame/model.ts';
import type { TimeRange } from './time.ts';

export interface ServiceOverview {
  name: string;
  total: number;
  cores: number;
  share: number;
  values: number[];
  /** Totals by layer number. */
  layers: number[];
  hottest: { name: string; self: number } | null;
}

export interface Overview {
  from: number;
  to: number;
  type: string;
  step_ms: number;
  total: number;
  cores: number;
  hosts: number;
  services: ServiceOverview[];
}

export interface SeriesAnswer {
  step_ms: number;
  start: number;
  series: { labels: Record<string, string>; values: number[] }[];
}

export interface AgentStatus {
  host: string;
  last_seen_ms: number;
  samples: number;
  /** Samples the agent says it lost; null if it cannot say. */
  lost: number | null;
  lost_by_reason?: Record<string, number> | null;
}

/** A binary with code that nobody could name. */
export interface UnnamedBinary {
  binary: string;
  build_id: string;
  kernel: boolean;
  /** Part of the CPU time in stacks with such code. */
  share: number;
  /** Part of the CPU time within such code itself. */
  leaf_share: number;
  /** Unnamed places, those of each stored piece counted apart. */
  places: number;
  /** What would fix it. */
  hint: string;
}

export interface Unnamed {
  total: number;
  leaf_share: number;
  /** How many binaries there are; the list holds the heaviest. */
  count: number;
  binaries: UnnamedBinary[];
}

export interface Status {
  version: string;
  uptime_ms: number;
  ready: boolean;
  ingest: { requests: number; rejected: number; samples: number; rows: number };
  agents: AgentStatus[];
  storage: {
    dir: string;
    bytes: number;
    segments: number;
    head_rows: number;
    /** Why the last write failed, if it did. */
    error?: string | null;
    /** The last damaged file found, if any. */
    corruption?: string | null;
  };
  symbols?: { files: number; bytes: number; damaged: number };
  oldest_ms: number | null;
  newest_ms: number | null;
}

export interface LabelName {
  name: string;
  values: number;
}

export interface LabelValue {
  value: string;
  total: number;
}

/** What a query is about. */
export interface Query {
  q: string;
  type: string;
  range: TimeRange;
}

/** Why there is no answer, in words for the reader. */
export interface Failure {
  kind: 'unreachable' | 'rejected' | 'failed';
  message: string;
}

export class ApiError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

export type ExportFormat = 'pprof' | 'folded' | 'svg';

const NODES_MAX = 100_000;

export async function fetchTypes(range: TimeRange, signal: AbortSignal): Promise<string[]> {
  const answer = await getJson<{ types: string[] }>('types', times(range), signal);
  return answer.types;
}

export function fetchOverview(type: string, range: TimeRange, signal: AbortSignal): Promise<Overview> {
  return getJson('overview', { ...times(range), type, points: '60' }, signal);
}

export function fetchSeries(query: Query, stepMs: number, by: string, signal: AbortSignal): Promise<SeriesAnswer> {
  return getJson('series', { ...queryParameters(query), step: String(stepMs), by }, signal);
}

export async function fetchFlame(query: Query, signal: AbortSignal): Promise<FlameModel> {
  const response = await get('flame', { ...queryParameters(query), max_nodes: String(NODES_MAX) }, signal);
  try {
    return decodeFlame(await response.arrayBuffer());
  } catch (error) {
    if (error instanceof DecodeError) throw new ApiError({ kind: 'failed', message: error.message });
    throw error;
  }
}

export async function fetchLabels(query: Query, signal: AbortSignal): Promise<LabelName[]> {
  return (await getJson<{ labels: LabelName[] }>('labels', queryParameters(query), signal)).labels;
}

export async function fetchLabelValues(name: string, query: Query, signal: AbortSignal): Promise<LabelValue[]> {
  const path = `labels/${encodeURIComponent(name)}/values`;
  return (await getJson<{ values: LabelValue[] }>(path, queryParameters(query), signal)).values;
}

export function fetchStatus(signal: AbortSignal): Promise<Status> {
  return getJson('status', {}, signal);
}

/** Code without names in the last hour. */
export function fetchUnnamed(signal: AbortSignal): Promise<Unnamed> {
  const now = Date.now();
  return getJson('unnamed', times({ from: now - 3_600_000, to: now }), signal);
}

/** The address of a download. */
export function exportUrl(query: Query, format: ExportFormat): string {
  return address('export', { ...queryParameters(query), format });
}

function times({ from, to }: TimeRange): Record<string, string> {
  return { from: String(Math.round(from)), to: String(Math.round(to)) };
}

function queryParameters({ q, type, range }: Query): Record<string, string> {
  return { q, type, ...times(range) };
}

function address(path: string, parameters: Record<string, string>): string {
  const query = new URLSearchParams(parameters).toString();
  return `./api/v1/${path}${query ? `?${query}` : ''}`;
}

async function getJson<T>(path: string, parameters: Record<string, string>, signal: AbortSignal): Promise<T> {
  const response = await get(path, parameters, signal);
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError({ kind: 'failed', message: `The answer to ${path} is not JSON.` });
  }
}

async function get(path: string, parameters: Record<string, string>, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address(path, parameters), { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError({ kind: 'unreachable', message: 'The server does not answer. Is it still running?' });
  }
  if (response.ok) return response;
  throw new ApiError({
    kind: response.status < 500 ? 'rejected' : 'failed',
    message: await errorMessage(response),
  });
}

/** The server's own words, if it sent any. */
async function errorMessage(response: Response): Promise<string> {
  const text = await response.text().catch(() => '');
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && 'error' in body) return String(body.error);
  } catch {
    // Not JSON: a proxy's page, or nothing.
  }
  return `The server answered ${response.status} ${response.statusText}`.trim();
}
