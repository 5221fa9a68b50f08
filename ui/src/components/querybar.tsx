// The query bar: label matchers as chips, the label that splits the timeline, the profile type.

import { useEffect, useRef, useState } from 'preact/hooks';
import { fetchLabels, fetchLabelValues, type LabelName, type LabelValue } from '../api.ts';
import { profileType, rangeQuery, types, unit } from '../data.ts';
import { formatValue, typeLabel } from '../format.ts';
import { formatSelector, OPERATORS, parseSelector, type Matcher, type Operator } from '../selector.ts';
import { state, update } from '../state.ts';
import { Icon } from './icons.tsx';
import { Menu, Popover } from './popover.tsx';
import { Suggest } from './suggest.tsx';

export function QueryBar() {
  const matchers = parseSelector(state.value.q);
  return (
    <div class="querybar">
      {matchers ? <Chips matchers={matchers} /> : <RawSelector />}
      <span class="spacer" />
      <GroupBy />
      <TypePicker />
    </div>
  );
}

function setMatchers(matchers: readonly Matcher[]): void {
  update({ q: formatSelector(matchers), focus: '' });
}

function Chips({ matchers }: { matchers: readonly Matcher[] }) {
  return (
    <>
      {matchers.map((matcher, index) => (
        <span class="chip" key={`${index} ${matcher.name}`}>
          <Popover
            buttonClass="chip-text"
            title="Edit this filter"
            label={
              <>
                <b>{matcher.name}</b>
                <em>{matcher.operator}</em>
                <span>{matcher.value === '' ? '""' : matcher.value}</span>
              </>
            }
          >
            {(close) => (
              <MatcherEditor
                initial={matcher}
                others={matchers.filter((other) => other !== matcher)}
                apply={(changed) => {
                  setMatchers(matchers.map((other) => (other === matcher ? changed : other)));
                  close();
                }}
              />
            )}
          </Popover>
          <button
            type="button"
            class="chip-remove"
            aria-label={`Remove filter ${matcher.name}`}
            onClick={() => setMatchers(matchers.filter((other) => other !== matcher))}
          >
            <Icon name="close" />
          </button>
        </span>
      ))}
      <Popover
        buttonClass="button quiet"
        label={
          <>
            <Icon name="plus" /> filter
          </>
        }
      >
        {(close) => (
          <MatcherEditor
            initial={{ name: '', operator: '=', value: '' }}
            others={matchers}
            apply={(added) => {
              setMatchers([...matchers, added]);
              close();
            }}
          />
        )}
      </Popover>
    </>
  );
}

interface MatcherEditorProps {
  initial: Matcher;
  /** The other matchers: suggestions come from series they leave. */
  others: readonly Matcher[];
  apply(matcher: Matcher): void;
}

function MatcherEditor({ initial, others, apply }: MatcherEditorProps) {
  const [name, setName] = useState(initial.name);
  const [operator, setOperator] = useState<Operator>(initial.operator);
  const [value, setValue] = useState(initial.value);
  const form = useRef<HTMLFormElement>(null);
  const labels = useLabels(others);
  const values = useValues(name, others, labels);
  const take = (taken: string): void => {
    setValue(taken);
    if (name !== '') apply({ name, operator, value: taken });
  };
  return (
    <form
      class="matcher"
      ref={form}
      onSubmit={(event) => {
        event.preventDefault();
        take(value);
      }}
    >
      <Suggest
        label="label"
        value={name}
        autofocus={initial.name === ''}
        suggestions={labels.map((label) => ({ value: label.name, note: `${label.values} ${label.values === 1 ? 'value' : 'values'}` }))}
        onInput={setName}
        onTake={(taken) => {
          setName(taken);
          form.current?.querySelectorAll('input')[1]?.focus();
        }}
      />
      <select
        class="input"
        aria-label="operator"
        value={operator}
        onChange={(event) => setOperator(event.currentTarget.value as Operator)}
      >
        {OPERATORS.map((choice) => (
          <option key={choice} value={choice}>
            {choice}
          </option>
        ))}
      </select>
      <Suggest
        label="value"
        value={value}
        autofocus={initial.name !== ''}
        suggestions={values.map(({ value: text, total }) => ({ value: text, note: formatValue(unit.value, total) }))}
        onInput={setValue}
        onTake={take}
      />
      <button type="submit" class="button primary" disabled={name === ''}>
        Apply
      </button>
    </form>
  );
}

/** Labels of the series the other matchers leave; empty while loading or if the server has none. */
function useLabels(others: readonly Matcher[]): LabelName[] {
  const [labels, setLabels] = useState<LabelName[]>([]);
  const q = formatSelector(others);
  useEffect(() => {
    const controller = new AbortController();
    fetchLabels({ ...rangeQuery.peek(), q }, controller.signal).then(setLabels, () => setLabels([]));
    return () => controller.abort();
  }, [q]);
  return labels;
}

function useValues(name: string, others: readonly Matcher[], labels: readonly LabelName[]): LabelValue[] {
  const [values, setValues] = useState<LabelValue[]>([]);
  const known = labels.some((label) => label.name === name);
  const q = formatSelector(others);
  useEffect(() => {
    setValues([]);
    if (!known) return undefined;
    const controller = new AbortController();
    fetchLabelValues(name, { ...rangeQuery.peek(), q }, controller.signal).then(setValues, () => setValues([]));
    return () => controller.abort();
  }, [name, known, q]);
  return values;
}

/** For a selector that is not a plain list of matchers: the server says what is wrong with it. */
function RawSelector() {
  return (
    <input
      class="input raw-selector"
      aria-label="Selector"
      value={state.value.q}
      spellcheck={false}
      onChange={(event) => update({ q: event.currentTarget.value.trim(), focus: '' })}
    />
  );
}

function GroupBy() {
  const { by } = state.value;
  return (
    <Popover
      align="right"
      title="Split the timeline by a label"
      label={
        <>
          <span class="quiet hide-small">group by</span> {by === '' ? 'none' : by} <Icon name="down" />
        </>
      }
    >
      {(close) => <GroupByMenu close={close} />}
    </Popover>
  );
}

function GroupByMenu({ close }: { close: () => void }) {
  const labels = useLabels(parseSelector(state.value.q) ?? []);
  const choices = ['', ...labels.map(({ name }) => name)];
  return (
    <Menu
      close={close}
      items={choices.map((name) => ({
        key: name,
        label: name === '' ? 'none' : name,
        current: name === state.value.by,
        choose: () => update({ by: name }),
      }))}
    />
  );
}

function TypePicker() {
  const current = profileType.value;
  const known = types.data.value ?? [];
  const choices = known.includes(current) ? known : [current, ...known];
  return (
    <Popover
      align="right"
      title="Profile type"
      label={
        <>
          {typeLabel(current)} <Icon name="down" />
        </>
      }
    >
      {(close) => (
        <Menu
          close={close}
          items={choices.map((type) => ({
            key: type,
            label: (
              <>
                {typeLabel(type)} <small>{type}</small>
              </>
            ),
            current: type === current,
            choose: () => update({ type, focus: '' }),
          }))}
        />
      )}
    </Popover>
  );
}
