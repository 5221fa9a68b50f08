// Entry: starts state and data, draws the page the URL names.

import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import './app.css';
import { FlameTooltip } from './components/flameview.tsx';
import { TopBar } from './components/topbar.tsx';
import { flame, overview, series, startData } from './data.ts';
import { ExplorePage } from './pages/explore.tsx';
import { FleetPage } from './pages/fleet.tsx';
import { StatusPage } from './pages/status.tsx';
import { page, startState, state } from './state.ts';
import { installTestHook } from './testhook.ts';
import { equalTo, parseSelector } from './selector.ts';

const PAGES = { fleet: FleetPage, explore: ExplorePage, status: StatusPage };

function App() {
  const Page = PAGES[page.value];
  const title = titleOf();
  useEffect(() => {
    document.title = title;
  }, [title]);
  useEffect(() => {
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
  return (
    <div class="app">
      <TopBar title={title} />
      <Progress />
      <Page />
      <FlameTooltip />
    </div>
  );
}

/** A thin line while another question is being answered; a refresh stays silent. */
function Progress() {
  const resources = page.value === 'fleet' ? [overview] : page.value === 'explore' ? [flame, series] : [];
  const busy = resources.some((one) => one.loading.value && (one.stale.value || one.data.value === null));
  return busy ? <div class="progress" role="progressbar" aria-label="Loading" /> : null;
}

function titleOf(): string {
  if (page.value === 'fleet') return 'Fleet · Hearth';
  if (page.value === 'status') return 'Status · Hearth';
  return `${equalTo(parseSelector(state.value.q), 'service_name') ?? 'Explore'} · Hearth`;
}

/** `/` jumps to the search field from anywhere but another field. */
function onKey(event: KeyboardEvent): void {
  if (event.key !== '/' || event.ctrlKey || event.metaKey) return;
  if (event.target instanceof Element && event.target.matches('input, textarea, select')) return;
  const search = document.getElementById('search');
  if (search instanceof HTMLInputElement) {
    event.preventDefault();
    search.focus();
    search.select();
  }
}

startState();
startData();
installTestHook();
const root = document.getElementById('app');
if (root) render(<App />, root);
