// The bar on top of every page: where one is, which time, live or not, dark or light.

import { isLive, page, refresh, state, theme, toggleTheme, update } from '../state.ts';
import { DEFAULTS, formatUrl, type Page } from '../url.ts';
import { Icon, Logo } from './icons.tsx';
import { TimePicker } from './timepicker.tsx';

const TABS: readonly { page: Page; label: string }[] = [
  { page: 'fleet', label: 'Fleet' },
  { page: 'explore', label: 'Explore' },
  { page: 'status', label: 'Status' },
];

export function TopBar({ title }: { title: string }) {
  return (
    <header class="topbar">
      <h1 class="unseen">{title}</h1>
      <a class="brand" href="./" onClick={(event) => follow(event, 'fleet')}>
        <Logo />
        <span class="hide-small">Hearth</span>
      </a>
      <nav class="tabs" aria-label="Pages">
        {TABS.map((tab) => (
          <a
            key={tab.page}
            href={formatUrl({ ...DEFAULTS, page: tab.page })}
            aria-current={page.value === tab.page ? 'page' : undefined}
            onClick={(event) => follow(event, tab.page)}
          >
            {tab.label}
          </a>
        ))}
      </nav>
      <span class="spacer" />
      {page.value !== 'status' && <TimePicker />}
      <LiveButton />
      <button type="button" class="button square" aria-label={`Switch to ${theme.value === 'dark' ? 'light' : 'dark'} theme`} onClick={toggleTheme}>
        <Icon name={theme.value === 'dark' ? 'moon' : 'sun'} />
      </button>
    </header>
  );
}

/** Stays in the page for a plain click; the browser does the rest (new tab, copy address). */
function follow(event: MouseEvent, target: Page): void {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  update({ page: target, search: '', focus: '', fn: '', view: 'flame' });
}

function LiveButton() {
  const live = isLive.value;
  return (
    <button
      type="button"
      class="button"
      aria-pressed={live}
      aria-label={live ? 'Live: refreshes by itself' : 'Go live'}
      title={live ? 'Refreshes every few seconds; click to pause' : 'Click to refresh by itself'}
      onClick={() => {
        if (live) return update({ live: 'off' }, 'replace');
        const relative = state.peek().to === 'now';
        refresh();
        return update({ live: 'on', ...(relative ? {} : { from: DEFAULTS.from, to: DEFAULTS.to, sel: '' }) });
      }}
    >
      <span class={live ? 'dot' : 'dot off'} />
      <span class="hide-small">{live ? 'Live' : 'Paused'}</span>
    </button>
  );
}
