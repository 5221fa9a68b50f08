// What a page says instead of data: errors, nothing in range, nothing at all yet.

import type { Failure } from '../api.ts';
import { formatTimestamp } from '../format.ts';
import { refresh, state, update } from '../state.ts';
import { DEFAULTS } from '../url.ts';
import { status } from '../data.ts';

const HEADINGS: Record<Failure['kind'], string> = {
  unreachable: 'Server not reachable',
  rejected: 'The query was not accepted',
  failed: 'The server failed',
};

export function FailureNotice({ failure }: { failure: Failure }) {
  return (
    <div class="notice" role="alert">
      <h2>{HEADINGS[failure.kind]}</h2>
      <p class={failure.kind === 'rejected' ? 'mono' : ''}>{failure.message}</p>
      <button type="button" class="button" onClick={refresh}>
        Try again
      </button>
    </div>
  );
}

/** A line on top of data that is still shown although it could not be refreshed. */
export function FailureBanner({ failure }: { failure: Failure }) {
  return (
    <div class="banner" role="alert">
      <b>{HEADINGS[failure.kind]}.</b> {failure.message} Showing what was loaded last.
      <button type="button" class="button" onClick={refresh}>
        Try again
      </button>
    </div>
  );
}

/** The server has data, only not here. */
export function NothingInRange({ filtered }: { filtered: boolean }) {
  const newest = status.data.value?.newest_ms ?? null;
  return (
    <div class="notice">
      <h2>No samples in this range</h2>
      <p>
        {whatToDo(filtered)}
        {newest !== null && ` The newest samples of all are from ${formatTimestamp(newest)}.`}
      </p>
      <div class="row">
        {filtered && (
          <button type="button" class="button" onClick={() => update({ q: '', focus: '' })}>
            Remove all filters
          </button>
        )}
        {newest !== null && (
          <button type="button" class="button primary" onClick={() => showAround(newest)}>
            Show the newest samples
          </button>
        )}
      </div>
    </div>
  );
}

function whatToDo(filtered: boolean): string {
  const choices = ['a longer range'];
  if (state.value.type !== '') choices.push('another profile type');
  if (filtered) choices.push('fewer filters');
  return `Choose ${choices.join(' or ')}.`;
}

function showAround(newest: number): void {
  const recent = Date.now() - newest < 10 * 6e4;
  refresh();
  if (recent) update({ from: DEFAULTS.from, to: DEFAULTS.to, sel: '' });
  else update({ from: String(newest - 15 * 6e4), to: String(newest + 5000), sel: '' });
}
