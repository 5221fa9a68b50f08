// The empty server: what to do to get samples, and a check that notices the first ones.

import { useEffect, useState } from 'preact/hooks';
import { loadStatus, status } from '../data.ts';
import { formatCount, formatDuration } from '../format.ts';
import { refresh } from '../state.ts';
import { CopyButton } from './copy.tsx';

const CHECK_MS = 2000;

export function Onboarding() {
  const [waited, setWaited] = useState(0);
  useEffect(() => {
    const began = Date.now();
    const timer = setInterval(() => {
      setWaited(Date.now() - began);
      if (status.data.peek()?.newest_ms != null) refresh();
      else loadStatus();
    }, CHECK_MS);
    return () => clearInterval(timer);
  }, []);
  const host = location.hostname === 'localhost' || location.hostname === '127.0.0.1' ? 'localhost' : location.hostname;
  const port = location.port || (location.protocol === 'https:' ? '443' : '80');
  return (
    <section class="onboarding">
      <h2>No samples yet</h2>
      <p>Hearth is running and waits for profiles. Start a profiler and this page fills itself.</p>
      <ol>
        <Step title="Profile this machine" text="Agent, storage and this page in one process. Needs root for eBPF.">
          sudo hearth up
        </Step>
        <Step
          title="Or send from an OpenTelemetry eBPF profiler"
          text={`On any Linux host that reaches this server; OTLP profiles are accepted on ${host}:${port}.`}
        >
          {`sudo ebpf-profiler -collection-agent ${host}:${port} -disable-tls`}
        </Step>
      </ol>
      <FirstSamples waited={waited} />
    </section>
  );
}

function Step({ title, text, children }: { title: string; text: string; children: string }) {
  return (
    <li class="card step">
      <h3>{title}</h3>
      <p>{text}</p>
      <div class="command">
        <code>{children}</code>
        <CopyButton text={children} />
      </div>
    </li>
  );
}

function FirstSamples({ waited }: { waited: number }) {
  const ingest = status.data.value?.ingest;
  const failure = status.failure.value;
  return (
    <p class="waiting" role="status">
      <span class={failure ? 'dot off' : 'dot pulse'} />
      {failure
        ? failure.message
        : ingest && ingest.requests > 0
          ? `${formatCount(ingest.requests)} requests received, ${formatCount(ingest.samples)} samples, ${formatCount(ingest.rejected)} rejected`
          : `Waiting for the first samples for ${formatDuration(waited)}`}
    </p>
  );
}
