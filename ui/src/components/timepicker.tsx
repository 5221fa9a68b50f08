// The time picker: presets, or two absolute times in the reader's zone.

import { useState } from 'preact/hooks';
import { formatTimestamp } from '../format.ts';
import { range, refresh, state, update } from '../state.ts';
import { describeRange, PRESETS, shortRange } from '../time.ts';
import { Icon } from './icons.tsx';
import { Popover } from './popover.tsx';

export function TimePicker() {
  const { from, to } = state.value;
  return (
    <Popover
      align="right"
      title="Time range"
      label={
        <>
          <span class="hide-small">{describeRange(from, to)}</span>
          <span class="only-small">{shortRange(from, to)}</span> <Icon name="down" />
        </>
      }
    >
      {(close) => (
        <div class="timepicker">
          <ul class="menu">
            {PRESETS.map((preset) => (
              <li key={preset.from}>
                <button
                  type="button"
                  aria-current={preset.from === from && to === 'now' ? 'true' : undefined}
                  onClick={() => {
                    refresh();
                    update({ from: preset.from, to: 'now', sel: '' });
                    close();
                  }}
                >
                  {preset.label}
                </button>
              </li>
            ))}
          </ul>
          <AbsoluteRange close={close} />
        </div>
      )}
    </Popover>
  );
}

function AbsoluteRange({ close }: { close: () => void }) {
  const [from, setFrom] = useState(formatTimestamp(range.peek().from));
  const [to, setTo] = useState(formatTimestamp(range.peek().to));
  const [start, end] = [parseLocal(from), parseLocal(to)];
  const valid = start !== null && end !== null && start < end;
  const apply = (): void => {
    if (!valid) return;
    update({ from: String(start), to: String(end), sel: '' });
    close();
  };
  return (
    <form
      class="absolute"
      onSubmit={(event) => {
        event.preventDefault();
        apply();
      }}
    >
      <label>
        From
        <input class="input" value={from} onInput={(event) => setFrom(event.currentTarget.value)} />
      </label>
      <label>
        To
        <input class="input" value={to} onInput={(event) => setTo(event.currentTarget.value)} />
      </label>
      <button type="submit" class="button primary" disabled={!valid}>
        Apply
      </button>
      {!valid && <small class="bad">Write two local times such as {formatTimestamp(range.peek().from)}, the earlier one first.</small>}
    </form>
  );
}

/** `YYYY-MM-DD hh:mm[:ss]` in the reader's zone, in milliseconds since the epoch. */
function parseLocal(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?$/.test(text.trim())) return null;
  const value = new Date(text.trim().replace(' ', 'T')).getTime();
  return Number.isNaN(value) ? null : value;
}
