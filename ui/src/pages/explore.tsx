// Explore: why a service burns CPU. Query, timeline, functions, flame graph.

import { useEffect } from 'preact/hooks';
import { FlamePanel } from '../components/flamepanel.tsx';
import { FunctionPanel } from '../components/functions.tsx';
import { FailureBanner, FailureNotice, NothingInRange } from '../components/notice.tsx';
import { Onboarding } from '../components/onboarding.tsx';
import { QueryBar } from '../components/querybar.tsx';
import { TimelinePanel } from '../components/timelinepanel.tsx';
import { flame, loadStatus, series, status } from '../data.ts';
import { state } from '../state.ts';

export function ExplorePage() {
  const failure = flame.failure.value ?? series.failure.value;
  const refused = failure !== null && failure.kind !== 'unreachable';
  const lostWithoutData = failure !== null && flame.data.value === null;
  return (
    <>
      <QueryBar />
      <main class="page">
        {failure && (refused || lostWithoutData) ? (
          <FailureNotice failure={failure} />
        ) : (
          <>
            {failure && <FailureBanner failure={failure} />}
            <TimelinePanel />
            <Profile />
          </>
        )}
      </main>
    </>
  );
}

function Profile() {
  const model = flame.data.value;
  const empty = model !== null && !(model.grandTotal > 0);
  useEffect(() => {
    if (empty) loadStatus();
  }, [empty, model]);
  if (!model) return <div class="notice quiet">Loading…</div>;
  if (empty) {
    return status.data.value?.newest_ms === null ? <Onboarding /> : <NothingInRange filtered={state.value.q !== ''} />;
  }
  return (
    <div class="split">
      <FunctionPanel />
      <FlamePanel model={model} />
    </div>
  );
}
