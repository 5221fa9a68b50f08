// Status: is data arriving, from where, and what is stored.

import type { AgentStatus, Status } from '../api.ts';
import { CopyButton } from '../components/copy.tsx';
import { FailureBanner, FailureNotice } from '../components/notice.tsx';
import { UnnamedTable } from '../components/unnamed.tsx';
import { status } from '../data.ts';
import { formatBytes, formatCount, formatDuration, formatShare, formatTimestamp } from '../format.ts';

/** An agent that sent nothing for this long is shown as silent. */
const SILENT_MS = 60_000;

export function StatusPage() {
  const data = status.data.value;
  const failure = status.failure.value;
  if (!data) return failure ? <FailureNotice failure={failure} /> : <div class="notice quiet">Loading…</div>;
  return (
    <main class="page scroll">
      {failure && <FailureBanner failure={failure} />}
      {[data.storage.error, data.storage.corruption].map(
        (problem) =>
          problem && (
            <div class="banner" role="alert" key={problem}>
              <b>Storage.</b> {problem}
            </div>
          ),
      )}
      <div class="facts">
        <ServerFacts data={data} />
        <IngestFacts data={data} />
        <StorageFacts data={data} />
      </div>
      <AgentTable agents={data.agents} />
      <UnnamedTable />
      <Grafana />
    </main>
  );
}

function Facts({ title, rows }: { title: string; rows: readonly (readonly [string, string])[] }) {
  return (
    <section class="card fact">
      <h2>{title}</h2>
      <dl>
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd title={value}>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function ServerFacts({ data }: { data: Status }) {
  return (
    <Facts
      title="Server"
      rows={[
        ['State', data.ready ? 'ready' : 'not ready'],
        ['Version', data.version],
        ['Up for', formatDuration(data.uptime_ms)],
      ]}
    />
  );
}

function IngestFacts({ data: { ingest } }: { data: Status }) {
  return (
    <Facts
      title="Ingest since start"
      rows={[
        ['Requests', formatCount(ingest.requests)],
        ['Rejected', formatCount(ingest.rejected)],
        ['Samples', formatCount(ingest.samples)],
        ['Rows', formatCount(ingest.rows)],
      ]}
    />
  );
}

function StorageFacts({ data: { storage, symbols, oldest_ms, newest_ms } }: { data: Status }) {
  const kept: [string, string][] = symbols
    ? [['Symbols', symbols.files === 0 ? 'none' : `${formatCount(symbols.files)} binaries, ${formatBytes(symbols.bytes)}`]]
    : [];
  return (
    <Facts
      title="Storage"
      rows={[
        ['Directory', storage.dir],
        ['Size', `${formatBytes(storage.bytes)} in ${formatCount(storage.segments)} segments`],
        ['In memory', `${formatCount(storage.head_rows)} rows`],
        ...kept,
        ['Oldest', oldest_ms === null ? 'nothing stored' : formatTimestamp(oldest_ms)],
        ['Newest', newest_ms === null ? 'nothing stored' : formatTimestamp(newest_ms)],
      ]}
    />
  );
}

function AgentTable({ agents }: { agents: readonly AgentStatus[] }) {
  return (
    <section class="card agents">
      <h2>Agents</h2>
      {agents.length === 0 ? (
        <p class="quiet">No agent has sent anything since the server started.</p>
      ) : (
        <table class="service-table">
          <thead>
            <tr>
              <th>Host</th>
              <th>Last seen</th>
              <th class="right">Samples</th>
              <th class="right">Lost</th>
            </tr>
          </thead>
          <tbody>
            {agents.map((agent) => (
              <AgentRow key={agent.host} agent={agent} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function AgentRow({ agent }: { agent: AgentStatus }) {
  const age = Date.now() - agent.last_seen_ms;
  const lost = agent.lost ?? 0;
  return (
    <tr>
      <td>{agent.host === '' ? '(unnamed)' : agent.host}</td>
      <td title={formatTimestamp(agent.last_seen_ms)}>
        <span class={age > SILENT_MS ? 'dot off' : 'dot'} /> {formatDuration(age)} ago
      </td>
      <td class="right">{formatCount(agent.samples)}</td>
      <td class={lost > 0 ? 'right bad' : 'right'} title={lossTitle(agent)}>
        {agent.lost === null ? '–' : formatCount(lost)}
        {lost > 0 && ` (${formatShare(lost, agent.samples + lost)})`}
      </td>
    </tr>
  );
}

function lossTitle({ lost, lost_by_reason }: AgentStatus): string | undefined {
  if (lost === null) return 'this agent does not report losses';
  const reasons = Object.entries(lost_by_reason ?? {});
  return reasons.map(([reason, count]) => `${reason.replaceAll('_', ' ')}: ${formatCount(count)}`).join('\n') || undefined;
}

/** Hearth answers Pyroscope's query API, so Grafana's data source works as it is. */
function Grafana() {
  const yaml = `apiVersion: 1
datasources:
  - name: Hearth
    type: grafana-pyroscope-datasource
    access: proxy
    url: ${location.origin}
`;
  return (
    <section class="card grafana">
      <h2>Grafana</h2>
      <p class="quiet">Hearth answers Pyroscope’s query API. Provision it as a data source:</p>
      <div class="command">
        <pre>{yaml}</pre>
        <CopyButton text={yaml} />
      </div>
    </section>
  );
}
