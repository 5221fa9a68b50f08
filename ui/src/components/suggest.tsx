// A text input with suggestions, as a combobox: arrows walk the list, Enter takes, typing filters.

import { useId, useState } from 'preact/hooks';

export interface Suggestion {
  value: string;
  note?: string;
}

interface SuggestProps {
  label: string;
  value: string;
  suggestions: readonly Suggestion[];
  autofocus?: boolean;
  onInput(value: string): void;
  /** Enter, or a suggestion was taken. */
  onTake(value: string): void;
}

const SHOWN_MAX = 100;

export function Suggest({ label, value, suggestions, autofocus = false, onInput, onTake }: SuggestProps) {
  const list = useId();
  const [marked, setMarked] = useState(-1);
  const [open, setOpen] = useState(autofocus);
  const [typed, setTyped] = useState(false);
  const shown = (typed ? matching(suggestions, value) : suggestions).slice(0, SHOWN_MAX);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      const step = event.key === 'ArrowDown' ? 1 : -1;
      setMarked(Math.max(-1, Math.min(shown.length - 1, marked + step)));
      setOpen(true);
    } else if (event.key === 'Enter') {
      setOpen(false);
      onTake(shown[marked]?.value ?? value);
    } else {
      return;
    }
    event.preventDefault();
  };
  return (
    <div class="suggest">
      <input
        class="input"
        role="combobox"
        aria-label={label}
        aria-expanded={open && shown.length > 0}
        aria-controls={list}
        aria-activedescendant={marked >= 0 ? `${list}-${marked}` : undefined}
        placeholder={label}
        value={value}
        spellcheck={false}
        autocomplete="off"
        ref={(input) => {
          if (input && autofocus && input.dataset['focused'] !== '1') {
            input.dataset['focused'] = '1';
            input.focus();
          }
        }}
        onFocus={() => {
          // An existing value is there to be exchanged: everything is on offer until one types.
          setTyped(false);
          setOpen(true);
        }}
        onBlur={() => setOpen(false)}
        onInput={(event) => {
          setMarked(-1);
          setTyped(true);
          setOpen(true);
          onInput(event.currentTarget.value);
        }}
        onKeyDown={onKeyDown}
      />
      {open && shown.length > 0 && (
        <ul class="suggestions" id={list} role="listbox">
          {shown.map((suggestion, index) => (
            <li
              key={suggestion.value}
              id={`${list}-${index}`}
              role="option"
              aria-selected={index === marked}
              // Before blur, which would remove the list.
              onPointerDown={(event) => {
                event.preventDefault();
                setOpen(false);
                onTake(suggestion.value);
              }}
            >
              <span>{suggestion.value}</span>
              {suggestion.note !== undefined && <small>{suggestion.note}</small>}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function matching(suggestions: readonly Suggestion[], text: string): readonly Suggestion[] {
  const wanted = text.toLowerCase();
  return suggestions.filter((suggestion) => suggestion.value.toLowerCase().includes(wanted));
}
